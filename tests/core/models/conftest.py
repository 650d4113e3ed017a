"""Small model folders of every kind, and short runs that say their first loss."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tgdpo_core import TGDPOConfig, TGDPOTrainer
from tgdpo_core.models.loading import load_policy
from tgdpo_core.models.paths import locate
from tgdpo_core.models.precision import Precision

LORA = {"r": 4, "alpha": 8.0, "target_modules": ["q_proj", "down_proj"]}


@pytest.fixture(scope="session")
def make_adapter(small_tokenizer: Any) -> Callable[..., Path]:
    """A function that writes a LoRA adapter that changes its base model, by peft alone."""
    from peft import LoraConfig, get_peft_model

    def make(folder: Path, base: str | Path, *, seed: int = 1, tokenizer: bool = True) -> Path:
        torch.manual_seed(seed)
        config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.2)
        model.save_pretrained(folder)
        if tokenizer:
            small_tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def adapter_folder(
    tmp_path_factory: pytest.TempPathFactory, make_adapter: Callable[..., Path], model_folder: Path
) -> Path:
    """An adapter folder on the small model."""
    return make_adapter(tmp_path_factory.mktemp("adapter"), model_folder)


@pytest.fixture
def trainer_of(tmp_path: Path, small_rows: list[dict[str, Any]]) -> Callable[..., TGDPOTrainer]:
    """A function: model's name, fresh LoRA or not -> a trainer as the recipe makes it."""

    def make(
        model: str | Path, *, lora: dict[str, Any] | None = None, run: str = "run", **kwargs: Any
    ) -> TGDPOTrainer:
        torch.manual_seed(0)
        policy = load_policy(locate(str(model)), precision=Precision(), lora=lora)
        settings = {
            "use_cpu": True,
            "disable_tqdm": True,
            "learning_rate": 1e-2,
            "lr_scheduler_type": "constant",
            "per_device_train_batch_size": 2,
            "num_train_epochs": 1,
            "logging_steps": 1,
            "save_strategy": "no",
        }
        args = TGDPOConfig(output_dir=str(tmp_path / run), **settings)
        return TGDPOTrainer(policy, args=args, train_dataset=small_rows[:4], **kwargs)

    return make


def losses(trainer: TGDPOTrainer) -> list[float]:
    """Return the logged losses of a run."""
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def rewritten(path: Path, **changes: Any) -> None:
    """Change entries of a JSON file; None removes one."""
    document = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in document.items() if v is not None}))
