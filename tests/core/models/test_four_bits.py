"""A fresh adapter on weights of 4 bits: from ln 2, under a name of its own, without dropout."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import tiny_llama
from tests.core.models.conftest import LORA, losses
from tgdpo_core import TGDPOConfig, TGDPOTrainer
from tgdpo_core.errors import RecipeError, UsageError
from tgdpo_core.models.loading import load_policy, policy_identity
from tgdpo_core.models.paths import locate
from tgdpo_core.models.precision import Precision
from tgdpo_core.recipe.loading import resolve_recipe
from tgdpo_core.recipe.optional_packages import require_packages

RECIPE = {"data": {"path": "x.jsonl"}, "output_dir": "runs/x"}


def test_it_is_trained_from_ln_2_on_weights_that_stay(
    small_tokenizer: Any, small_rows: Any, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    tiny_llama(len(small_tokenizer), hidden_size=64).save_pretrained(tmp_path / "base")
    small_tokenizer.save_pretrained(tmp_path / "base")
    source = locate(str(tmp_path / "base"))
    policy = load_policy(source, precision=Precision(), lora=LORA, four_bits=torch.float32)
    matrix = policy.model.get_base_model().model.layers[0].self_attn.q_proj.base_layer.weight
    assert (matrix.dtype, matrix.numel()) == (torch.uint8, 64 * 64 // 2)
    before = matrix.clone()
    first_layers = [n for n in _adapted(policy.model) if "layers.0.self_attn.q_proj" in n]
    start = {name: policy.model.get_parameter(name).clone() for name in first_layers}
    args = TGDPOConfig(
        output_dir=str(tmp_path / "run"),
        use_cpu=True,
        disable_tqdm=True,
        learning_rate=1e-2,
        logging_steps=1,
        max_steps=2,
        save_strategy="steps",
        save_steps=1,
    )
    trainer = TGDPOTrainer(policy, args=args, train_dataset=small_rows[:4])
    first, second = losses(trainer)
    assert first == pytest.approx(math.log(2), abs=1e-4)
    assert second < first
    assert torch.equal(before, matrix)
    for name, weight in start.items():  # the gradient came through all matrices above
        assert not torch.equal(weight, policy.model.get_parameter(name))
    assert (tmp_path / "run" / "model" / "adapter_model.safetensors").is_file()


def test_it_is_another_model_than_the_one_in_full(model_folder: Path) -> None:
    source = locate(str(model_folder))
    whole = policy_identity(source, lora=LORA)
    assert policy_identity(source, lora=LORA, four_bits=True) == {**whole, "stored_in": "nf4"}


def test_an_adapter_is_not_merged_into_4_bits(adapter_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"Merge it first \(tgdpo merge\)"):
        load_policy(
            locate(str(adapter_folder)),
            precision=Precision(),
            lora=LORA,
            four_bits=torch.float32,
        )


def test_weights_of_4_bits_are_not_trained() -> None:
    with pytest.raises(RecipeError, match=r"weights of 4 bits cannot be trained; give model\.lora"):
        resolve_recipe({**RECIPE, "model": {"load_in_4bit": True}})


def test_without_the_package_the_command_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name != "bitsandbytes" or None)
    with pytest.raises(UsageError, match=r"bitsandbytes.*pip install 'tgdpo\[qlora\]'"):
        require_packages({}, lora=True, four_bits=True)


@pytest.mark.parametrize("name", ["dropout", "lora_dropout"])
def test_dropout_of_an_adapter_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="log-ratios compare two fixed functions"):
        resolve_recipe({**RECIPE, "model": {"lora": {"r": 4, name: 0.1}}})


def test_all_linear_layers_get_an_adapter_by_default(model_folder: Path) -> None:
    settings = resolve_recipe({**RECIPE, "model": {"lora": {"r": 4}}}).model.lora
    assert settings
    policy = load_policy(
        locate(str(model_folder)), precision=Precision(), lora=settings.model_dump()
    )
    names = {name.rpartition(".lora_A")[0].rpartition(".")[2] for name in _adapted(policy.model)}
    assert names == {*("q_proj", "k_proj", "v_proj", "o_proj"), "gate_proj", "up_proj", "down_proj"}


def _adapted(model: Any) -> list[str]:
    return [name for name, _ in model.named_parameters() if "lora_A" in name]
