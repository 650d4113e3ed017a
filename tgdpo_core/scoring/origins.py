"""Where a plugin comes from, kept with its instance: it goes through a run by its name alone."""

import contextlib
from typing import Any, TypeVar

from tgdpo_core.plugin_api.discovery import BUILT_IN

_ORIGIN = "_tgdpo_origin"

PluginT = TypeVar("PluginT")


def with_origin(plugin: PluginT, origin: str) -> PluginT:
    """Return a plugin that knows where it was found.

    Args:
        plugin: its instance.
        origin: distribution and version, or the file of ``--plugin-file``.
    """
    with contextlib.suppress(TypeError):  # what a factory returned may be no plugin at all
        vars(plugin)[_ORIGIN] = origin
    return plugin


def origin_of(plugin: Any) -> str:
    """Return where a plugin was found; empty for one that was made in Python."""
    return str(getattr(plugin, _ORIGIN, ""))


def is_built_in(plugin: Any) -> bool:
    """Return whether a plugin was found in tgdpo itself."""
    return origin_of(plugin).partition(" ")[0] == BUILT_IN


def named(kind: str, name: str, plugin: Any) -> str:
    """Return how messages name a plugin: kind, name, and where it was found."""
    origin = origin_of(plugin)
    return f"{kind} '{name}' ({origin})" if origin else f"{kind} '{name}'"
