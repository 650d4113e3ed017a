"""Number formats: scoring has those of training; what cannot work is refused, rounding is said."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import tiny_llama
from tests.core.models.conftest import LORA, losses
from tgdpo_core import TGDPOConfig, TGDPOTrainer
from tgdpo_core.errors import UsageError
from tgdpo_core.models.adapters import with_lora
from tgdpo_core.models.precision import (
    mixed_precision,
    require_trainable_formats,
    stuck_weights,
)

Train = Callable[..., TGDPOTrainer]


@pytest.fixture
def trainer(
    tmp_path: Path, small_rows: list[Any], small_tokenizer: Any
) -> Callable[..., TGDPOTrainer]:
    def make(model: Any, **settings: Any) -> TGDPOTrainer:
        how = {"learning_rate": 1e-2, "logging_steps": 1, "save_strategy": "no", **settings}
        args = TGDPOConfig(
            str(tmp_path / "run"), use_cpu=True, disable_tqdm=True, max_steps=2, **how
        )
        return TGDPOTrainer(
            model, args=args, train_dataset=small_rows, processing_class=small_tokenizer
        )

    return make


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"bf16": True, "fp16": False}, torch.bfloat16),
        ({"bf16": False, "fp16": True}, torch.float16),
        ({"bf16": False, "fp16": False}, None),
    ],
)
def test_scoring_has_the_mixed_precision_of_training(
    settings: dict[str, bool], expected: torch.dtype | None
) -> None:
    assert mixed_precision(device=torch.device("cuda"), **settings) is expected


def test_fp16_on_a_cpu_is_refused_as_transformers_would_ignore_it(
    trainer: Train, model_folder: Path
) -> None:
    with pytest.raises(UsageError, match=r"training\.fp16: on a CPU it would have no effect"):
        trainer(str(model_folder), fp16=True)


def test_trained_float16_weights_are_refused(trainer: Train, small_tokenizer: Any) -> None:
    with pytest.raises(UsageError, match="float16 weights cannot be trained"):
        trainer(tiny_llama(len(small_tokenizer)).half())


def test_an_adapter_on_float16_weights_is_trained_from_ln_2(
    trainer: Train, small_tokenizer: Any
) -> None:
    model = with_lora(tiny_llama(len(small_tokenizer)).half(), LORA)
    require_trainable_formats(model)
    first, second = losses(trainer(model))
    assert first == pytest.approx(math.log(2), abs=1e-2)
    assert second < first


def test_the_formats_are_recorded(trainer: Train, model_folder: Path) -> None:
    facts = trainer(str(model_folder), bf16=True)._facts
    assert facts["precision"] == {
        "dtype": "torch.float32",
        "autocast": "torch.bfloat16",
        "attention": None,
        "policy": "torch.float32",
    }


# -- 16-bit weights that stay where they are ------------------------------------------------------


def test_the_share_of_weights_that_an_update_moves_is_counted_exactly() -> None:
    model = torch.nn.Linear(100, 1, bias=False)
    with torch.no_grad():
        model.weight[0, :10], model.weight[0, 10:] = 2.0**-9, 1.0
    # bfloat16 has 8 bits: at 1.0 the next number is 1 + 2**-7, at 2**-9 it is 2**-16 further.
    message = stuck_weights(model.bfloat16(), 2.0**-10)
    assert message
    assert "bfloat16" in message
    assert "changes 10.00%" in message
    assert "0.000977" in message


@pytest.mark.parametrize("rate", [1e-6, 1e-4, 1e-2])
def test_the_share_is_that_of_weights_that_really_move(rate: float) -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(64, 64, bias=False).bfloat16()
    moved = (model.weight + torch.tensor(rate).bfloat16()) != model.weight
    share, message = moved.float().mean().item(), stuck_weights(model, rate)
    if share > 0.55:
        assert message is None
    else:
        assert message
        said = float(message.split("changes ")[1].split("%")[0]) / 100
        assert said == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_that_a_small_rate_cannot_move_are_said_once(
    trainer: Train, small_tokenizer: Any, dtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    trainer(tiny_llama(len(small_tokenizer)).to(getattr(torch, dtype)), learning_rate=1e-6)
    warnings = [r for r in caplog.records if "hides small updates" in r.getMessage()]
    assert len(warnings) == (1 if dtype == "bfloat16" else 0)


def test_a_checkpoint_without_the_optimizers_state_is_not_resumed(
    trainer: Train, model_folder: Path
) -> None:
    from tgdpo_core.errors import CheckpointError

    settings = {"save_strategy": "steps", "save_steps": 1, "save_only_model": True}
    trainer(str(model_folder), **settings).train()
    with pytest.raises(CheckpointError, match=r"saved with training\.save_only_model"):
        trainer(str(model_folder), **settings).train(resume_from_checkpoint=True)
