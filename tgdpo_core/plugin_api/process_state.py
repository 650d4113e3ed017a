"""What a plugin may change for everybody in its process, and must not: looked at around a call.

Importing it loads no torch: torch's settings are what they are by default until somebody loads it.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

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
            # None: torch was not loaded before, and nobody knows its number of threads.
            if value is not None and setting.read() != value:
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


def _set_device(device: Any) -> None:
    import torch

    torch.set_default_device(None if device == "cpu" else device)


def _of_torch(default: Any, read: Callable[[Any], Any]) -> Callable[[], Any]:
    """Return what reads a setting of torch: the default where torch is not loaded."""

    def current() -> Any:
        torch = sys.modules.get("torch")
        return default if torch is None else read(torch)

    return current


def _torch() -> Any:
    import torch

    return torch


def _set_threads(number: int | None) -> None:
    if number is not None:
        _torch().set_num_threads(number)


def _handlers() -> tuple[Any, ...]:
    return tuple(signal.getsignal(number) for number in _SIGNALS)


def _set_handlers(handlers: tuple[Any, ...]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number, handler in zip(_SIGNALS, handlers, strict=True):
            signal.signal(number, handler)


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("TGDPO_")}


def _set_variables(wanted: dict[str, str]) -> None:
    for name in _variables().keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)


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


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SETTINGS = (
    _Setting(
        "the gradient mode of torch",
        _of_torch(True, lambda torch: torch.is_grad_enabled()),
        lambda value: _torch().set_grad_enabled(value),
    ),
    _Setting(
        "the default dtype of torch",
        _of_torch("torch.float32", lambda torch: str(torch.get_default_dtype())),
        lambda value: _torch().set_default_dtype(getattr(_torch(), value.removeprefix("torch."))),
    ),
    _Setting(
        "the default device of torch",
        _of_torch("cpu", lambda torch: str(torch.get_default_device())),
        _set_device,
    ),
    _Setting(
        "the number of threads of torch",
        _of_torch(None, lambda torch: torch.get_num_threads()),
        _set_threads,
    ),
    _Setting(
        "the determinism of torch",
        _of_torch(False, lambda torch: torch.are_deterministic_algorithms_enabled()),
        lambda value: _torch().use_deterministic_algorithms(value),
    ),
    _Setting("the working directory", _folder, _enter),
    _Setting("logging.disable", lambda: logging.root.manager.disable, logging.disable),
    _Setting("the level of the root logger", lambda: logging.root.level, logging.root.setLevel),
    _Setting("the handlers of signals", _handlers, _set_handlers),
    _Setting("environment variables of tgdpo", _variables, _set_variables),
)
