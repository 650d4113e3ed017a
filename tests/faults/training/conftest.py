"""Short runs that are stopped, damaged and resumed, and what they must be equal to."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from tgdpo_core import TGDPOConfig, TGDPOTrainer

# What a log row says about time, and so never twice the same.
_TIMES = ("runtime", "per_second", "peak_memory")


class At(TrainerCallback):
    """Calls a function when a step begins."""

    def __init__(self, step: int, action: Callable[[], None]) -> None:
        self._step = step
        self._action = action

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self._step:
            self._action()


def interrupt() -> None:
    """End the process's run as a kill would: nothing more is saved."""
    raise RuntimeError("killed")


@pytest.fixture(scope="session")
def build(
    model_folder: Path,
    small_tokenizer: Any,
    small_rows: list[dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., TGDPOTrainer]:
    """A function that builds a trainer of six steps that saves every two."""
    store = tmp_path_factory.mktemp("store")

    def make(folder: Path, **kwargs: Any) -> TGDPOTrainer:
        names = ("ref_model", "eval_dataset", "token_reward", "shaping", "callbacks", "judging")
        given = {name: kwargs.pop(name) for name in names if name in kwargs}
        given["allow_changed"] = kwargs.pop("allow_changed", ())
        model = kwargs.pop("model", str(model_folder))
        rows = kwargs.pop("train_dataset", small_rows)
        tokenizer = kwargs.pop("processing_class", small_tokenizer)
        settings = {
            "output_dir": str(folder),
            "use_cpu": True,
            "disable_tqdm": True,
            "learning_rate": 1e-3,
            "lr_scheduler_type": "cosine",
            "per_device_train_batch_size": 4,
            "num_train_epochs": 2,
            "logging_steps": 1,
            "save_strategy": "steps",
            "save_steps": 2,
            "seed": 5,
            "store_path": str(store),
            **kwargs,
        }
        given.setdefault("token_reward", {"plugin": "random", "args": {"seed": 1}})
        return TGDPOTrainer(
            model,
            args=TGDPOConfig(**settings),
            train_dataset=rows,
            processing_class=tokenizer,
            **given,
        )

    return make


@pytest.fixture(scope="session")
def whole(build: Callable[..., TGDPOTrainer], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    build(folder).train()
    return folder


@pytest.fixture(scope="session")
def _killed(build: Callable[..., TGDPOTrainer], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed") / "run"
    with pytest.raises(RuntimeError, match="killed"):
        build(folder, callbacks=[At(5, interrupt)]).train()
    return folder


@pytest.fixture
def killed(_killed: Path, tmp_path: Path) -> Path:
    """The folder of the same run, killed at step 5; checkpoints of steps 2 and 4 are there."""
    folder = tmp_path / "run"
    shutil.copytree(_killed, folder)
    return folder


def log_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the log, what depends on time left out."""
    lines = (folder / "logs" / "train.jsonl").read_text().splitlines()
    return [
        {k: v for k, v in json.loads(line).items() if not any(word in k for word in _TIMES)}
        for line in lines
    ]


def _require_equal(found: Path, expected: Path) -> None:
    a, b = (load_file(folder / "model" / "model.safetensors") for folder in (found, expected))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a), "the weights differ"
    assert log_rows(found) == log_rows(expected)


@pytest.fixture(scope="session")
def require_equal() -> Callable[[Path, Path], None]:
    """A function: two run folders have bit-identical weights and equal logs."""
    return _require_equal


@pytest.fixture(scope="session")
def record() -> Callable[[Path], dict[str, Any]]:
    """A function that reads run.json."""
    return lambda folder: json.loads((folder / "run.json").read_text())


@pytest.fixture(scope="session")
def at() -> type[At]:
    """A callback that does something when a step begins."""
    return At
