"""Short runs of the trainer on the small model, and log-probs by plain torch to compare with."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tgdpo_core import TGDPOConfig, TGDPOTrainer

# What a log row says about time, and so never twice the same.
_TIMES = ("runtime", "per_second", "total_flos", "peak_memory")


def perturbed(folder: Path, *, seed: int, std: float = 0.02) -> Any:
    """Return the model of a folder with noise on every weight: it stands for a trained one."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=rng), alpha=std)
    return model


@pytest.fixture(scope="session")
def perturb(model_folder: Path) -> Callable[..., Any]:
    """A function that returns a perturbed copy of the small model."""
    return lambda seed, **kwargs: perturbed(kwargs.pop("folder", model_folder), seed=seed, **kwargs)


@pytest.fixture(scope="session")
def reward_folder(
    tmp_path_factory: pytest.TempPathFactory, model_folder: Path, small_tokenizer: Any
) -> Path:
    """A folder with a perturbed copy of the small model: the one that induces token rewards."""
    folder = tmp_path_factory.mktemp("reward_model")
    perturbed(model_folder, seed=1).save_pretrained(folder)
    small_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def make_trainer(
    tmp_path: Path, model_folder: Path, small_tokenizer: Any, small_rows: list[dict[str, Any]]
) -> Callable[..., TGDPOTrainer]:
    """A function that builds a trainer: plain DPO on the twelve pairs unless told otherwise.

    Names of ``TGDPOTrainer``'s arguments go there, all others to ``TGDPOConfig``; ``run`` is the
    name of the run folder.
    """

    def make(run: str = "run", **kwargs: Any) -> TGDPOTrainer:
        names = ("ref_model", "eval_dataset", "token_reward", "transforms", "shaping", "callbacks")
        given = {name: kwargs.pop(name) for name in names if name in kwargs}
        model = kwargs.pop("model", str(model_folder))
        rows = kwargs.pop("train_dataset", small_rows)
        settings = {
            "output_dir": str(tmp_path / run),
            "use_cpu": True,
            "disable_tqdm": True,
            "learning_rate": 1e-3,
            "lr_scheduler_type": "constant",
            "per_device_train_batch_size": 4,
            "num_train_epochs": 1,
            "logging_steps": 1,
            "save_strategy": "no",
            "seed": 5,
            "max_shares": {"eval_overlap": 1.0},
            **kwargs,
        }
        return TGDPOTrainer(
            model,
            args=TGDPOConfig(**settings),
            train_dataset=rows,
            processing_class=small_tokenizer,
            **given,
        )

    return make


@pytest.fixture(scope="session")
def log_rows() -> Callable[..., list[dict[str, Any]]]:
    """A function that reads logs/train.jsonl of a run folder, what depends on time left out."""

    def read(folder: str | Path) -> list[dict[str, Any]]:
        lines = (Path(folder) / "logs" / "train.jsonl").read_text().splitlines()
        return [
            {name: value for name, value in json.loads(line).items() if not _is_time(name)}
            for line in lines
        ]

    return read


def _is_time(name: str) -> bool:
    return any(word in name for word in _TIMES)


@pytest.fixture(scope="session")
def run_record() -> Callable[[str | Path], dict[str, Any]]:
    """A function that reads run.json of a run folder."""
    return lambda folder: json.loads((Path(folder) / "run.json").read_text())


@pytest.fixture(scope="session")
def padded_logps(small_tokenizer: Any) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """A function: model, pairs, side -> log-probs [B, T-1] of a padded batch, with their mask.

    It shares no code with the engine: ids joined, padded to a multiple of 8, one forward pass,
    log_softmax over everything, gather, shift by one, mask.
    """

    def compute(model: Any, pairs: Sequence[Any], side: str) -> tuple[torch.Tensor, torch.Tensor]:
        prompts = [pair.prompt_ids.tolist() for pair in pairs]
        responses = [getattr(pair, side).ids.tolist() for pair in pairs]
        longest = max(len(p) + len(r) for p, r in zip(prompts, responses, strict=True))
        shape = (len(prompts), -(-longest // 8) * 8)
        ids = torch.full(shape, small_tokenizer.pad_token_id)
        attention, labelled = torch.zeros(shape).long(), torch.zeros(shape)
        for b, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
            length = len(prompt) + len(response)
            ids[b, :length] = torch.tensor(prompt + response)
            attention[b, :length] = 1
            labelled[b, len(prompt) : length] = 1
        logits = model(input_ids=ids, attention_mask=attention).logits.float()
        logps = logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)
        mask = labelled[:, 1:]
        return logps * mask, mask

    return compute
