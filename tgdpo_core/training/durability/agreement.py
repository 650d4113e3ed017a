"""What the processes of a run tell each other: flags at every step, the rest when it matters."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import distributed

from tgdpo_core.errors import TgdpoError


def is_shared() -> bool:
    """Return whether the run has several processes."""
    return (
        distributed.is_available()
        and distributed.is_initialized()
        and distributed.get_world_size() > 1
    )


def any_flag(flags: Sequence[bool], device: Any) -> list[bool]:
    """Return each flag, raised if any process raised it. Every process must call this."""
    if not is_shared():
        return list(flags)
    found: list[bool] = any_flag_on_device(torch.tensor(flags, device=device)).tolist()
    return found


def any_flag_on_device(flags: torch.Tensor) -> torch.Tensor:
    """Return [n] bool flags as ``any_flag`` does, without a look at them."""
    if not is_shared():
        return flags
    values = flags.int()
    distributed.all_reduce(values, op=distributed.ReduceOp.MAX)
    return values.bool()


def gathered(value: Any) -> list[Any]:
    """Return the value of every process, by rank. Every process must call this."""
    if not is_shared():
        return [value]
    values: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def from_first(value: Any) -> Any:
    """Return the value of the first process. Every process must call this."""
    if not is_shared():
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def first_message(message: str | None) -> str | None:
    """Return the message of the lowest rank that has one. Every process must call this."""
    for rank, said in enumerate(gathered(message)):
        if said is not None:
            return f"Process {rank}: {said}" if is_shared() else str(said)
    return None


def everyones(error: TgdpoError) -> TgdpoError:
    """Return an error that every process is about to raise, marked as such."""
    error.is_everyones = True
    return error


def by_first(function: Callable[[], Any]) -> Any:
    """Return what a function returns in the first process, on every process.

    Raises:
        TgdpoError: what it raised there, on every process.
    """
    outcome: Any = None
    if not is_shared() or distributed.get_rank() == 0:
        try:
            outcome = function()
        except TgdpoError as error:
            outcome = error
    outcome = from_first(outcome)
    if isinstance(outcome, TgdpoError):
        raise everyones(outcome)
    return outcome
