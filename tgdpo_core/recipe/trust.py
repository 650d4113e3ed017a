"""Remote code: a recipe may ask for it, only the command line may allow it."""

from collections.abc import Iterator, Mapping
from typing import Any

from tgdpo_core.errors import RecipeError

KEY = "trust_remote_code"
_OFF = (None, False, 0, "", "0", "false", "no", "off")


def require_trust(content: Mapping[str, Any], source: str) -> None:
    """Refuse a recipe that turns on code from model repositories by itself.

    Args:
        content: unchecked content of a recipe file.
        source: its name.

    Raises:
        RecipeError: with the key, and the flag that allows it.
    """
    for place in _turned_on(content, ""):
        raise RecipeError(
            f"{source}: {place} would run code that a model repository brings. A recipe cannot "
            "allow that by itself: read that code, then add --trust-remote-code to the command."
        )


def _turned_on(value: Any, place: str) -> Iterator[str]:
    """Yield the dotted keys that turn remote code on, at any depth."""
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        here = f"{place}.{key}" if place else str(key)
        # A grid's `set` has dotted keys.
        is_asked = str(key).rpartition(".")[2] == KEY
        if is_asked and (item.lower() if isinstance(item, str) else item) not in _OFF:
            yield here
        yield from _turned_on(item, here)
