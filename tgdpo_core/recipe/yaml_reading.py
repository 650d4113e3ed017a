"""YAML without its traps: what is read is what is written, or an error that says so.

YAML 1.1 reads ``012`` as 10, ``1:30`` as 90 and ``1e-6`` as text; a few lines of aliases stand for
gigabytes; a key may stand twice. All of these are refused here, or read as numbers where the text
can mean nothing else.
"""

import re
from collections.abc import Hashable
from typing import Any

import yaml

from tgdpo_core.errors import RecipeError

MOST_CHARACTERS = 262_144
MOST_VALUES = 20_000  # with aliases written out
MOST_LEVELS = 50
_LONGEST_MESSAGE = 600

_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_EXPONENT = re.compile(r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$")


def read_yaml(text: str, source: str) -> Any:
    """Return what a YAML text holds.

    Args:
        text: one document.
        source: for messages: a file, an option.

    Raises:
        RecipeError: it is not valid YAML, repeats a key, or is too large once aliases are written
            out.
    """
    if len(text) > MOST_CHARACTERS:
        raise RecipeError(
            f"{source} has {len(text):,} characters; a recipe may have {MOST_CHARACTERS:,}."
        )
    try:
        _require_small(text, source)
        return yaml.load(text, Loader=_StrictLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = str(error)
        if len(said) > _LONGEST_MESSAGE:
            said = f"{said[:_LONGEST_MESSAGE]} ..."
        raise RecipeError(f"{source} is not valid YAML: {said}") from error


def _require_small(text: str, source: str) -> None:
    """Count values and levels as they will be, before anything of that size exists."""
    count = _Count(source)
    event: Any
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        count.add(event)
        if count.total > MOST_VALUES or len(count.open_nodes) > MOST_LEVELS:
            raise RecipeError(
                f"{source}, line {event.start_mark.line + 1}: too large: a recipe may have "
                f"{MOST_VALUES:,} values (aliases written out) and {MOST_LEVELS} levels."
            )


class _Count:
    """How many values a text holds so far, and in what it is.

    Attributes:
        total: values, aliases written out.
        open_nodes: anchor and the total at its start, of every list and mapping not yet closed.
    """

    def __init__(self, source: str) -> None:
        self.total = 0
        self.open_nodes: list[tuple[str | None, int]] = []
        self._source = source
        self._sizes: dict[str, int] = {}

    def add(self, event: Any) -> None:
        """Take up an event of the parser."""
        if isinstance(event, yaml.AliasEvent):
            self.total += self._size(event)
        elif isinstance(event, yaml.ScalarEvent):
            self.total += 1
            self._sizes[str(event.anchor)] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            self.open_nodes.append((event.anchor, self.total))
            self.total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = self.open_nodes.pop()
            self._sizes[str(anchor)] = self.total - before

    def _size(self, event: Any) -> int:
        """Return how many values an alias stands for; unknown ones are left to the reader."""
        if any(event.anchor == anchor for anchor, _ in self.open_nodes):
            raise RecipeError(
                f"{self._source}, line {event.start_mark.line + 1}: *{event.anchor} contains "
                "itself."
            )
        return self._sizes.get(event.anchor, 1)


class _StrictLoader(yaml.SafeLoader):
    """Repeated keys and misleading numbers are errors, ``1e-6`` is a number."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that stands twice in one mapping."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag.endswith(":merge"):
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise _error("a key must be a word, not a list or mapping", key_node)
            if key in seen:
                raise _error(f"the key '{key}' stands twice", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def construct_number(self, node: Any) -> Any:
        """Refuse an integer or a float that YAML 1.1 reads as another than it looks."""
        text = str(node.value)
        if ":" in text:
            raise _error(f"{text[:40]} would be read to the base 60; write it in quotes", node)
        if _LEADING_ZERO.fullmatch(text):
            plain = text.lstrip("+-").lstrip("0_") or "0"
            raise _error(
                f"{text[:40]} would be read as an octal number; write {plain[:40]}, or quote it",
                node,
            )
        if node.tag.endswith(":int"):
            return self.construct_yaml_int(node)
        return self.construct_yaml_float(node)


def _error(problem: str, node: Any) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


_StrictLoader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789."))
for _tag in ("int", "float"):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _StrictLoader.construct_number)
