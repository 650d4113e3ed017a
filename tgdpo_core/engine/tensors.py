"""What is done to all tensors of a record at once: moved to a device, pinned."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import torch

Record = TypeVar("Record")


def map_tensors(record: Record, change: Callable[[torch.Tensor], torch.Tensor]) -> Record:
    """Return a dataclass with its tensors changed, and those of the dataclasses in it.

    Where nothing changes it is the same object, with whatever it has cached.
    """
    changed = {}
    for field in dataclasses.fields(record):  # type: ignore[arg-type]
        old = getattr(record, field.name)
        if isinstance(old, torch.Tensor):
            new: Any = change(old)
        elif dataclasses.is_dataclass(old):
            new = map_tensors(old, change)
        else:
            continue
        if new is not old:
            changed[field.name] = new
    return dataclasses.replace(record, **changed) if changed else record  # type: ignore[type-var]


def moved(record: Record, device: Any) -> Record:
    """Return a record on a device; the host does not wait for copies out of pinned memory."""
    return map_tensors(record, lambda tensor: tensor.to(device, non_blocking=True))


def pinned(record: Record) -> Record:
    """Return a record in memory that a GPU reads while the host goes on."""
    return map_tensors(record, lambda tensor: tensor.pin_memory())
