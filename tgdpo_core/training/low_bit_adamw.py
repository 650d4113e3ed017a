"""torchao's AdamW with states of 8 or 4 bits, so that a step is the same on every process and after
a resume.

bfloat16 weights are rounded up or down at random, with the probability that makes the mean right:
an update of 1e-6 of a weight moves it once in thousands of steps, by thousands of times as much.
The draws come from seed and step alone, whatever else the program has drawn.
"""

import contextlib
import functools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from tgdpo_core.errors import UsageError
from tgdpo_core.recipe.rounding import LOW_BIT

_COMPILERS = ("clang", "gcc", "cc")  # what Triton looks for


def optimizer_of(args: Any, model: Any) -> tuple[Any, dict[str, Any]]:
    """Return class and arguments of the optimizer that the settings name.

    Args:
        args: complete ``TrainingArguments``.
        model: whose weights are trained.

    Raises:
        ValueError: a setting that it does not take.
    """
    from transformers import Trainer

    cls, settings = Trainer.get_optimizer_cls_and_kwargs(args, model)
    if str(getattr(args.optim, "value", args.optim)) not in LOW_BIT:
        return cls, settings
    block = int(settings["block_size"])  # transformers passes it on as text
    if block < 1:
        raise ValueError(f"block_size must be at least 1, got {block}")
    return _repeatable(cls), {**settings, "block_size": block, "seed": args.seed}


@functools.cache
def _repeatable(cls: Any) -> Any:
    """Return torchao's class with a step that can be repeated."""
    return type(cls.__name__, (_Repeatable, cls), {})


class _Repeatable:
    """Draws its rounding from seed and step; compiled on a GPU, plain elsewhere.

    Args:
        params: as any optimizer's.
        seed: of the rounding.
        settings: of torchao's class.
    """

    param_groups: list[dict[str, Any]]
    state: dict[Any, dict[str, Any]]

    def __init__(self, params: Any, *, seed: int, **settings: Any) -> None:
        of_torchao: Any = super()
        of_torchao.__init__(params, **settings)
        self._seed = seed
        _require_compiler(self._gpus())

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Update the weights; return what the closure returns."""
        of_torchao: Any = super()
        with _drawing_from(self._noise(), self._gpus()), _fitting_compiler(self._gpus()):
            return of_torchao.step(closure)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take a saved state over; counts and rates stay on the CPU, as they were made."""
        of_torchao: Any = super()
        of_torchao.load_state_dict(state_dict)
        for group in self.param_groups:
            group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32).cpu()
        for state in self.state.values():
            state["step"] = state["step"].cpu()

    def _noise(self) -> int:
        """Return the seed of a step; where weights are sharded, each process has its own."""
        steps = [int(state["step"]) for state in self.state.values() if state]
        rank = torch.distributed.get_rank() if self._is_sharded() else 0
        entropy = np.random.SeedSequence([self._seed, max(steps, default=0), rank])
        return int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1))

    def _weights(self) -> Iterator[Any]:
        return (weight for group in self.param_groups for weight in group["params"])

    def _is_sharded(self) -> bool:
        return any(hasattr(weight, "to_local") for weight in self._weights())

    def _gpus(self) -> list[int]:
        devices = {weight.device for weight in self._weights()}
        return sorted({d.index or 0 for d in devices if d.type == "cuda"})


def _require_compiler(gpus: list[int]) -> None:
    """Raise ``UsageError`` where the step of a GPU cannot be compiled: it would need many times the
    memory."""
    named = os.environ.get("CC")
    if gpus and not any(shutil.which(name) for name in ([named] if named else _COMPILERS)):
        raise UsageError(
            f"training.optim: torchao's step is compiled, which needs a C compiler: install gcc, "
            f"or name one in CC{f' (now {named}, not found)' if named else ''}."
        )


@contextlib.contextmanager
def _drawing_from(seed: int, gpus: list[int]) -> Iterator[None]:
    """Let random numbers start from a seed; afterwards they go on as if nothing had been."""
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            torch.cuda.default_generators[gpu].manual_seed(seed)
        yield


def _fitting_compiler(gpus: list[int]) -> contextlib.AbstractContextManager[Any]:
    """Return what switches the compiler off on a CPU: compiling takes longer than it saves."""
    if gpus:
        return contextlib.nullcontext()
    stance: contextlib.AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance
