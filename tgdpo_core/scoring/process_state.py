"""What a plugin may change for everybody in its process, and must not: looked at around a call."""

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from tgdpo_core.errors import PluginError


@dataclass(frozen=True)
class _Setting:
    """One global setting: how it is read and put back."""

    name: str
    read: Callable[[], Any]
    restore: Callable[[Any], Any]


@dataclass
class Moved:
    """Names of the settings that a block has changed, once it has ended."""

    names: list[str] = field(default_factory=list)


@contextlib.contextmanager
def settings_kept() -> Iterator[Moved]:
    """Put the global settings back that the block changes, and name them in what it is given."""
    moved = Moved()
    before = [setting.read() for setting in _SETTINGS]
    filters = list(warnings.filters)
    try:
        yield moved
    finally:
        for setting, value in zip(_SETTINGS, before, strict=True):
            if setting.read() != value:
                moved.names.append(setting.name)
                setting.restore(value)
        if _general(warnings.filters) != _general(filters):
            moved.names.append("the filters of warnings")
            _set_filters(filters)


@contextlib.contextmanager
def settings_kept_by(who: str) -> Iterator[None]:
    """Raise ``PluginError`` if the block, a plugin at work, changes global settings; put them back.

    Args:
        who: how messages name plugin and place.
    """
    with settings_kept() as moved:
        yield
    require_kept(who, moved)


def require_kept(who: str, moved: Moved) -> None:
    """Raise ``PluginError`` for settings that a plugin has changed."""
    if moved.names:
        raise PluginError(
            f"{who}: the plugin changed {' and '.join(moved.names)} for the whole process, on "
            "which training depends. Do it for a block that ends before you return "
            "(with torch.no_grad(): .., with contextlib.chdir(..): ..), or not at all."
        )


def _folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was deleted
        return None


def _enter(folder: str | None) -> None:
    if folder:
        with contextlib.suppress(FileNotFoundError):
            os.chdir(folder)


def _set_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)


def _general(filters: Any) -> list[Any]:
    """Return the filters that decide about everybody's warnings.

    A library that is imported in a call may add some for a message or a module, or for a category
    of its own.
    """
    return [
        each
        for each in filters
        if each[1] is None and each[3] is None and each[2].__module__ == "builtins"
    ]


def _set_filters(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]
    with contextlib.suppress(AttributeError):  # newer versions of Python see it by themselves
        warnings._filters_mutated()  # type: ignore[attr-defined]


_SETTINGS = (
    _Setting("the gradient mode of torch", torch.is_grad_enabled, torch.set_grad_enabled),
    _Setting("the default dtype of torch", torch.get_default_dtype, torch.set_default_dtype),
    _Setting("the default device of torch", torch.get_default_device, _set_device),
    _Setting("the number of threads of torch", torch.get_num_threads, torch.set_num_threads),
    _Setting("the working directory", _folder, _enter),
    _Setting("logging.disable", lambda: logging.root.manager.disable, logging.disable),
)
