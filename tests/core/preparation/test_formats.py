"""Frozen models are bfloat16 on a GPU under bf16; the policy's own reference is the policy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tgdpo_core.models.precision import Precision, frozen_dtype
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.preparation import formats
from tgdpo_core.preparation.formats import own_precision_of, precision_of
from tgdpo_core.preparation.plan import Plan, make_plan
from tgdpo_core.preparation.scoring import scorer_of
from tgdpo_core.recipe.loading import resolve_recipe

GPU, CPU = torch.device("cuda"), torch.device("cpu")
Planned = Callable[..., Plan]


@pytest.fixture
def planned(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Plan]:
    def make(device: torch.device, *, dtype: str = "auto", bf16: bool = True, **more: Any) -> Plan:
        monkeypatch.setattr(formats, "device_of", lambda plan: device)
        monkeypatch.setattr("tgdpo_core.preparation.scoring.device_of", lambda plan: device)
        content = {
            "model": {"name_or_path": str(model_folder), "dtype": dtype},
            "data": {"path": "rows.jsonl"},
            "training": {"bf16": bf16},
            "output_dir": str(tmp_path / "run"),
            **more,
        }
        return make_plan(resolve_recipe(content, source="test"), PluginManager())

    return make


@pytest.mark.parametrize(
    ("device", "dtype", "bf16", "frozen"),
    [
        (GPU, "auto", True, torch.bfloat16),
        (GPU, "auto", False, torch.float32),
        (GPU, "float32", True, torch.float32),
        (GPU, "bfloat16", False, torch.bfloat16),
        (CPU, "auto", True, torch.float32),
    ],
)
def test_frozen_weights_are_halved_only_where_products_round_them_anyway(
    planned: Planned, device: torch.device, dtype: str, bf16: bool, frozen: torch.dtype
) -> None:
    plan = planned(device, dtype=dtype, bf16=bf16, reference={"name_or_path": "named"})
    assert precision_of(plan).dtype is frozen
    own = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    assert own_precision_of(plan).dtype is own
    # What is compared with the policy itself has the policy's format.
    assert precision_of(planned(device, dtype=dtype, bf16=bf16)).dtype is own
    if dtype == "auto":
        autocast = precision_of(plan).autocast
        for has_reference, expected in ((True, frozen), (False, own)):
            found = frozen_dtype(own, autocast=autocast, device=device, has_reference=has_reference)
            assert found is expected


def test_store_keys_tell_the_policy_from_a_frozen_model(
    planned: Planned, model_folder: Path, small_tokenizer: Any
) -> None:
    def reference_of(**more: Any) -> dict[str, Any]:
        plan = planned(GPU, **more)
        return scorer_of(plan, small_tokenizer)._reference_document()

    own, named = reference_of(), reference_of(reference={"name_or_path": str(model_folder)})
    assert own["model"] == named["model"]
    assert own["precision"] == Precision(torch.float32, torch.bfloat16).document()
    assert named["precision"] == Precision(torch.bfloat16, torch.bfloat16).document()


def test_induced_rewards_are_stored_under_the_format_of_their_model(
    planned: Planned, model_folder: Path, small_tokenizer: Any
) -> None:
    reward = [{"plugin": "induced", "args": {"model": str(model_folder)}}]
    for reference, dtype in ((None, "torch.float32"), (str(model_folder), "torch.bfloat16")):
        plan = planned(GPU, reward=reward, reference={"name_or_path": reference})
        scorer = scorer_of(plan, small_tokenizer)
        document = scorer._reward_document(scorer.sources[0])
        assert document["precision"]["dtype"] == dtype
        assert document["reference"]["precision"]["dtype"] == dtype
