"""Without token rewards the trainer is TRL's DPOTrainer, step by step, on real preference pairs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tgdpo_core import TGDPOConfig, TGDPOTrainer
from tgdpo_plugins.shapings.linear import Linear

# TRL 1.16 sets a name that transformers is about to drop.
pytestmark = pytest.mark.filterwarnings(
    "ignore:`gradient_checkpointing` is deprecated:FutureWarning:transformers"
)

STEPS = 20
SETTINGS = {
    "per_device_train_batch_size": 4,
    "max_steps": STEPS,
    "logging_steps": 1,
    "learning_rate": 1e-3,
    "seed": 3,
    "beta": 0.1,
    "max_length": 2048,
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "use_cpu": True,
    "bf16": False,
}

# Greatest difference allowed; log-probs are sums over a response, hundreds of nats.
TOLERANCE = {
    "loss": 1e-5,
    "rewards/chosen": 3e-5,
    "rewards/rejected": 3e-5,
    "rewards/margins": 3e-5,
    "rewards/accuracies": 0,
    "logps/chosen": 5e-4,
    "logps/rejected": 5e-4,
    "grad_norm": 1e-4,
    "learning_rate": 0,
    "epoch": 0,
}

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def pairs(gsm8k_rows: Rows) -> Rows:
    return gsm8k_rows[: STEPS * SETTINGS["per_device_train_batch_size"]]


@pytest.fixture(scope="module")
def tokenizer(pairs: Rows, small_tokenizer: Any) -> Any:
    """A BPE trained on the pairs' own text."""
    texts = [row[side] for row in pairs for side in ("prompt", "chosen", "rejected")]
    return small_tokenizer.train_new_from_iterator(texts, vocab_size=600)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model_folder: Path, tokenizer: Any) -> str:
    """The small model with that tokenizer's vocabulary."""
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(model_folder, vocab_size=len(tokenizer))
    path = tmp_path_factory.mktemp("gsm8k_model")
    AutoModelForCausalLM.from_config(config).save_pretrained(path)
    return str(path)


@pytest.fixture(scope="module")
def trl_log(
    tmp_path_factory: pytest.TempPathFactory, folder: str, tokenizer: Any, pairs: Rows
) -> Rows:
    """What TRL logs, one row a step."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    trainer = DPOTrainer(
        AutoModelForCausalLM.from_pretrained(folder),
        ref_model=AutoModelForCausalLM.from_pretrained(folder),
        args=DPOConfig(
            output_dir=str(tmp_path_factory.mktemp("trl")),
            gradient_checkpointing=False,
            **SETTINGS,
        ),
        train_dataset=Dataset.from_list(pairs),
        processing_class=tokenizer,
    )
    trainer.train()
    return [row for row in trainer.state.log_history if "loss" in row]


@pytest.fixture(scope="module")
def our_log(
    tmp_path_factory: pytest.TempPathFactory, folder: str, tokenizer: Any, pairs: Rows
) -> Callable[..., Rows]:
    """A function: what TGDPOTrainer logs with a token reward and a shaping."""

    def log(token_reward: str | None, alpha: float) -> Rows:
        base = tmp_path_factory.mktemp("ours")
        trainer = TGDPOTrainer(
            folder,
            args=TGDPOConfig(
                output_dir=str(base / "run"), store_path=str(base / "store"), **SETTINGS
            ),
            train_dataset=pairs,
            processing_class=tokenizer,
            token_reward=token_reward,
            shaping=Linear(alpha=alpha),
        )
        trainer.train()
        return [row for row in trainer.state.log_history if "loss" in row]

    return log


@pytest.fixture(scope="module")
def log_without_reward(our_log: Callable[..., Rows]) -> Rows:
    return our_log("none", 0.5)


@pytest.fixture(scope="module")
def log_with_alpha_zero(our_log: Callable[..., Rows]) -> Rows:
    return our_log("random", 0.0)


def differences(ours: Rows, theirs: Rows, name: str) -> list[float]:
    """Return the difference of a metric at every step."""
    assert len(ours) == len(theirs) == STEPS
    # Before the first update margins are zero but for rounding, and so is the sign of that.
    first = 1 if name == "rewards/accuracies" else 0
    return [abs(a[name] - b[name]) for a, b in zip(ours[first:], theirs[first:], strict=True)]


@pytest.mark.parametrize("name", sorted(TOLERANCE))
def test_without_a_token_reward_every_step_is_trls(
    name: str, log_without_reward: Rows, trl_log: Rows
) -> None:
    assert max(differences(log_without_reward, trl_log, name)) <= TOLERANCE[name]


@pytest.mark.parametrize("name", sorted(TOLERANCE))
def test_with_random_rewards_and_alpha_zero_every_step_is_trls(
    name: str, log_with_alpha_zero: Rows, trl_log: Rows
) -> None:
    assert max(differences(log_with_alpha_zero, trl_log, name)) <= TOLERANCE[name]


def test_the_losses_compared_above_move(trl_log: Rows) -> None:
    losses = [row["loss"] for row in trl_log]
    assert max(losses) - min(losses) > 0.05
    assert max(row["rewards/margins"] for row in trl_log) > 0.05


def test_with_alpha_above_zero_the_losses_are_not_trls(
    our_log: Callable[..., Rows], trl_log: Rows
) -> None:
    guided = our_log("random", 0.5)
    assert max(differences(guided, trl_log, "loss")) > 1e-3
