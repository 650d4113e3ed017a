"""What a plugin may change for everybody in its process, and must not: looked at around a call.

Importing it loads no torch, whose settings are those of ``torch_settings``.
"""

import contextlib
import logging
import operator
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.descriptors import descriptors_kept
from tgdpo_core.plugin_api.torch_settings import torch_kept


@dataclass(frozen=True)
class _Setting:
    """One global setting: how it is read, put back, and compared: before, then now."""

    name: str
    read: Callable[[], Any]
    restore: Callable[[Any], Any]
    is_kept: Callable[[Any, Any], bool] = operator.eq


@dataclass
class Moved:
    """Names of the settings that a block has changed, once it has ended."""

    names: list[str] = field(default_factory=list)


@contextlib.contextmanager
def settings_kept() -> Iterator[Moved]:
    """Put the global settings back that the block changes, and name them in what it is given."""
    moved = Moved()
    # Python's own are put back first: with a low recursion limit the others could not be.
    with torch_kept(moved.names), descriptors_kept(moved.names), _python_kept(moved.names):
        yield moved


@contextlib.contextmanager
def _python_kept(names: list[str]) -> Iterator[None]:
    """Put the settings of Python and of the process back; add the names of those that changed."""
    before = [setting.read() for setting in _SETTINGS]
    filters = list(warnings.filters)
    try:
        yield
    finally:
        for setting, value in zip(_SETTINGS, before, strict=True):
            if not setting.is_kept(value, setting.read()):
                names.append(setting.name)
                setting.restore(value)
        if _general(warnings.filters) != _general(filters):
            names.append("the filters of warnings")
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


def _path() -> list[str]:
    return list(sys.path or ())


def _set_path(wanted: list[str]) -> None:
    sys.path = list(wanted)


def _holds_all(before: list[str], now: list[str]) -> bool:
    """Whether a path still has its entries: a plugin may add some, and many do."""
    return all(entry in now for entry in before)


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
    # First: with a low limit the others could not be put back.
    _Setting("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    _Setting("sys.path", _path, _set_path, _holds_all),
    _Setting("the working directory", _folder, _enter),
    _Setting("logging.disable", lambda: logging.root.manager.disable, logging.disable),
    _Setting("the level of the root logger", lambda: logging.root.level, logging.root.setLevel),
    _Setting("the handlers of signals", _handlers, _set_handlers),
    _Setting("environment variables of tgdpo", _variables, _set_variables),
)
