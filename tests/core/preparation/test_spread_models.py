"""Frozen models spread over devices: the values are those of a model on one device."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tgdpo_core.errors import TgdpoError
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.preparation.plan import Plan, make_plan
from tgdpo_core.preparation.reading import read
from tgdpo_core.preparation.scoring import fill_store, scorer_of
from tgdpo_core.preparation.tokens import tokenize
from tgdpo_core.recipe import resolve_recipe

HALF_ON_DISK = {
    "model.embed_tokens": "cpu",
    "model.layers.0": "disk",
    "model.layers.1": "cpu",
    "model.norm": "cpu",
    "model.rotary_emb": "cpu",
    "lm_head": "disk",
}


def plan_of(folder: Path, rows: Path, **sections: Any) -> Plan:
    content = {
        "model": {"name_or_path": str(folder)},
        "data": {"path": str(rows)},
        "reward": [{"plugin": "induced", "args": {"model": str(folder)}}],
        "training": {"use_cpu": True},
        "output_dir": "unused",
        **sections,
    }
    return make_plan(resolve_recipe(content, source="test"), PluginManager())


@pytest.mark.parametrize("device_map", [HALF_ON_DISK, "auto"])
def test_a_spread_model_gives_the_values_of_a_whole_one(
    device_map: Any,
    model_folder: Path,
    rows_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def scored(**sections: Any) -> list[torch.Tensor]:
        plan = plan_of(model_folder, rows_file, **sections)
        tokens = tokenize(plan, read(plan))
        stored = scorer_of(plan, tokens.tokenizer).score(tokens.train)
        return [*stored.reference, *stored.rewards[0]]

    whole = scored()
    monkeypatch.setenv("TGDPO_STORE", str(tmp_path / "other"))
    spread = scored(engine={"device_map": device_map})
    for one, other in zip(whole, spread, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_the_spread_is_no_part_of_the_key(model_folder: Path, rows_file: Path) -> None:
    plan = plan_of(model_folder, rows_file)
    fill_store(plan, tokenize(plan, read(plan)))
    plan = plan_of(model_folder, rows_file, engine={"device_map": HALF_ON_DISK})
    assert fill_store(plan, tokenize(plan, read(plan))).totals()["computed"] == 0


def test_a_fresh_adapter_is_not_spread(model_folder: Path, rows_file: Path) -> None:
    plan = plan_of(
        model_folder,
        rows_file,
        model={"name_or_path": str(model_folder), "lora": {}},
        engine={"device_map": "auto"},
    )
    with pytest.raises(TgdpoError, match=r"engine\.device_map.*reference\.name_or_path"):
        fill_store(plan, tokenize(plan, read(plan)))


def test_an_adapter_is_not_spread(model_folder: Path, rows_file: Path, tmp_path: Path) -> None:
    config = {"base_model_name_or_path": str(model_folder), "peft_type": "LORA"}
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"")
    plan = plan_of(
        model_folder,
        rows_file,
        reference={"name_or_path": str(tmp_path / "adapter")},
        engine={"device_map": "auto"},
    )
    with pytest.raises(TgdpoError, match=r"is an adapter, which cannot be spread"):
        fill_store(plan, tokenize(plan, read(plan)))
