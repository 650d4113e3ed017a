"""Everything that is wrong with what a recipe names, said at once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tgdpo_core.errors import PluginError, TgdpoError
from tgdpo_core.plugin_api.manager import PluginManager


class Problems:
    """Errors of checks that do not depend on each other."""

    def __init__(self) -> None:
        self._errors: list[TgdpoError] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keep an error of the block for later."""
        try:
            yield
        except TgdpoError as error:
            self._errors.append(error)

    def raise_all(self) -> None:
        """Raise what was kept, as one error of the first one's kind."""
        if not self._errors:
            return
        first, *others = self._errors
        if not others:
            raise first
        lines = [f"{len(self._errors)} problems:", *dict.fromkeys(map(str, self._errors))]
        raise type(first)("\n- ".join(lines)) from first


def unknown_plugins(content: Mapping[str, Any], plugins: PluginManager) -> list[str]:
    """Return what is wrong with the names in an unchecked recipe, one line each."""
    found = []
    for kind, name in _named(content):
        try:
            plugins.find(kind, name)
        except PluginError as error:
            found.append(str(error))
    return list(dict.fromkeys(found))


def _named(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield kind and name of every plugin that a content names in the right place."""
    entries = content.get("reward")
    for entry in entries if isinstance(entries, list) else ():
        yield from _texts("token-reward", entry, "plugin")
        chain = entry.get("transforms") if isinstance(entry, Mapping) else None
        for transform in chain if isinstance(chain, list) else ():
            yield from _texts("transform", transform, "name")
    yield from _texts("shaping", content.get("shaping"), "name")
    yield from _texts("loss", content.get("loss"), "name")
    yield from _texts("judge", content.get("judging"), "judge")


def _texts(kind: str, section: Any, key: str) -> Iterator[tuple[str, str]]:
    value = section.get(key) if isinstance(section, Mapping) else None
    if isinstance(value, str):
        yield kind, value
