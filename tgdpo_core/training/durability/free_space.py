"""Whether a save fits on the disk, asked before a byte of it is written."""

import shutil
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from tgdpo_core.errors import CheckpointError

_BESIDE = 32 * 2**20  # tokenizer, states, file system


def checkpoint_bytes(model: torch.nn.Module, optimizer: Any) -> int:
    """Return what this process holds of weights and optimizer state, in bytes."""
    states = optimizer.state.values() if optimizer is not None else ()
    tensors = [*model.state_dict().values(), *(v for s in states for v in s.values())]
    return sum(p.nbytes for t in tensors if isinstance(t, torch.Tensor) for p in plain_parts(t))


def require_space(folder: Path, needed: int, what: str) -> None:
    """Make sure that a save fits.

    Args:
        folder: where it goes; need not exist yet.
        needed: bytes of tensors.
        what: for the message.

    Raises:
        CheckpointError: less is free.
    """
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed + _BESIDE:
        raise CheckpointError(
            f"{what} needs {_mib(needed + _BESIDE)} MiB, {place} has {_mib(free)} MiB free. What "
            "was saved before is kept. Make room, or lower training.save_total_limit, then go on "
            "with --resume."
        )


def local(tensor: Any) -> torch.Tensor:
    """Return this process's part of a tensor, which is all of it unless it is sharded."""
    result: torch.Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return result


def plain_parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Return what a tensor holds in this process: itself, or the parts of one made of others."""
    held = local(tensor)
    if not is_traceable_wrapper_subclass(held):
        return [held]
    names, _ = held.__tensor_flatten__()
    inner = [getattr(held, name) for name in names]
    return [part for each in inner if isinstance(each, torch.Tensor) for part in plain_parts(each)]


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f}"
