"""How often the host reads what the device computes: once a step, whatever the step holds."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import TrainerCallback

from tgdpo_core import TGDPOTrainer

MakeTrainer = Callable[..., TGDPOTrainer]
# On a GPU the host waits for the value of each of these, or for the size of its result.
_READING = {
    *("_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "nonzero_static"),
    *("masked_select", "unique_consecutive", "_unique2", "_assert_async"),
}
_METHODS = ("tolist", "numpy", "cpu", "__array__")


class Reads(TorchDispatchMode):
    """Counts what reads a tensor on the host; a list of numbers is made without an operator."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        indices = args[1] if name in ("index", "index_put", "index_put_") else ()
        is_masked = any(i is not None and i.dtype == torch.bool for i in indices)
        if name in _READING or is_masked:
            self.count[name] += 1
        return func(*args, **(kwargs or {}))


class InSteps(TrainerCallback):
    """Counts from the first forward of a step to the end of its update."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[Counter[str]] = []
        self._mode: Reads | None = None
        for name in _METHODS:
            monkeypatch.setattr(torch.Tensor, name, self._counted(name))

    def _counted(self, name: str) -> Any:
        method = getattr(torch.Tensor, name)

        def call(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if self._mode and threading.current_thread() is threading.main_thread():
                self._mode.count[name] += 1
            return method(tensor, *args, **kwargs)

        return call

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Begin."""
        self._mode = Reads()
        self._mode.__enter__()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """End."""
        assert self._mode
        self._mode.__exit__(None, None, None)
        self.steps.append(self._mode.count)
        self._mode = None


SETTINGS: dict[str, dict[str, Any]] = {
    "one row": {"per_device_train_batch_size": 4, "tokens_per_row": 10_000},
    "four rows": {"per_device_train_batch_size": 4, "tokens_per_row": 1},
    "micro-batches": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4},
    "checkpointing": {"gradient_checkpointing": True, "tokens_per_row": 1},
    "no clipping, sft term": {"max_grad_norm": 0.0, "sft_weight": 0.1, "tokens_per_row": 1},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_step_is_read_once_however_many_rows_it_has(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    reads = InSteps(monkeypatch)
    make_trainer(
        callbacks=[reads], logging_steps=100, token_reward="random", **SETTINGS[name]
    ).train()
    assert reads.steps == [Counter(tolist=1)] * 3


def test_transformers_looks_at_the_masks_of_padded_rows(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = InSteps(monkeypatch)
    make_trainer(callbacks=[reads], logging_steps=100, tokens_per_row=1, layout="pad").train()
    a_row = Counter(_local_scalar_dense=2)
    assert [count - a_row - a_row - a_row - a_row for count in reads.steps] == [
        Counter(tolist=1)
    ] * 3


def test_metrics_are_read_when_they_are_logged(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not earlier: between two log rows they stay where they are made."""
    moved: list[int] = []
    trainer = make_trainer(logging_steps=2, num_train_epochs=2)
    buffer = trainer._buffers["train"]
    pop = buffer.pop
    monkeypatch.setattr(buffer, "pop", lambda *a: moved.append(len(buffer.rows())) or pop(*a))
    trainer.train()
    assert moved == [8, 8, 8]


def test_the_counter_sees_what_waits() -> None:
    values = torch.arange(4.0)
    waiting: dict[str, Callable[[], Any]] = {
        "bool": lambda: bool(values.any()),
        "item": lambda: values[0].item(),
        "float": lambda: float(values[1]),
        "nonzero": lambda: values.nonzero(),
        "mask": lambda: values[values > 1],
        "equal": lambda: torch.equal(values, values),
    }
    for name, call in waiting.items():
        with Reads() as reads:
            call()
        assert reads.count.total() == 1, name
