"""Functions of torch that a plugin replaces while it is loaded: every loss goes through them."""

import sys
from typing import Any

_PLACES = ("torch", "torch.nn.functional", "torch.Tensor")

Functions = dict[tuple[str, str], Any]
"""Place and name to what is there."""


def torch_functions() -> Functions:
    """Return what is callable in torch; empty where torch is not loaded."""
    return {
        (place, name): value
        for place, holder in _holders()
        for name, value in list(vars(holder).items())
        if callable(value)
    }


def put_back(before: Functions) -> list[str]:
    """Put replaced functions back; return their names."""
    now = torch_functions()
    holders = dict(_holders())
    replaced = [key for key, value in before.items() if now.get(key, value) is not value]
    for place, name in replaced:
        setattr(holders[place], name, before[place, name])
    return [f"{place}.{name}" for place, name in replaced]


def foreign_functions(package: str) -> list[str]:
    """Return names in torch under which lies something that a package defines.

    For a package that was the first to import torch: what was there before is not known.
    """
    return [
        f"{place}.{name}"
        for (place, name), value in torch_functions().items()
        if package and str(getattr(value, "__module__", "")).partition(".")[0] == package
    ]


def _holders() -> list[tuple[str, Any]]:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "Tensor"):
        return []
    found = {"torch": torch, "torch.Tensor": torch.Tensor}
    if functional := sys.modules.get("torch.nn.functional"):
        found["torch.nn.functional"] = functional
    return [(place, found[place]) for place in _PLACES if place in found]
