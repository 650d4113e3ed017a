"""Texts that are written lists or mappings: message lists in CSV cells, JSON in JSON.

A text that holds messages must not be trained as text. It is read as JSON, else as what Python
prints; one that looks like messages and can be read as neither is refused.
"""

import ast
import json
import re
from typing import Any

from tgdpo_core.data.report import RowProblem

_MOST_PYTHON = 2_000_000  # characters; Python's parser needs about a hundred times the memory
_BEGINS = re.compile(r"\s*(?:array\()?[\s(\"']*[\[{]")
_BEGINS_AS_MESSAGE = re.compile(
    r"\s*(?:array\()?[\s(\"']*\[?\s*\{\s*\\?[\"'](?:role|content|from|value|tool_calls)\\?[\"']\s*:"
)
_PAIRS_OF_KEYS = (("role", "content"), ("from", "value"), ("role", "tool_calls"))


def read_messages(value: Any, name: str) -> Any:
    """Return the messages that a text holds; anything else as it is.

    Raises:
        RowProblem: the text looks like messages and is neither JSON nor Python.
    """
    if not isinstance(value, str) or not _BEGINS.match(value) or not _looks_like_messages(value):
        return value
    try:
        found = read_list(value, name)
    except RowProblem:
        if _BEGINS_AS_MESSAGE.match(value):
            raise
        return value
    return found if _holds_messages(found) else value


def read_list(value: Any, name: str) -> Any:
    """Return the list or mapping that a text is, in JSON or in Python; other values as they are.

    Raises:
        RowProblem: it is neither.
    """
    found = value
    for _ in range(3):  # JSON in JSON
        if not isinstance(found, str):
            return found
        found = _parsed(found, name)
    return found


def _parsed(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = error
    if len(text) <= _MOST_PYTHON:
        try:
            return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            pass
    raise RowProblem(
        "bad_message",
        f"'{name}' is text that looks like a list of messages and can be read neither as JSON "
        f"({reason}) nor as what Python prints: write the column as JSON",
    )


def _looks_like_messages(text: str) -> bool:
    return any(all(_has_key(text, key) for key in keys) for keys in _PAIRS_OF_KEYS)


def _has_key(text: str, key: str) -> bool:
    return re.search(rf"[\"']{key}\\?[\"']\s*:", text) is not None


def _holds_messages(value: Any) -> bool:
    items = value if isinstance(value, list | tuple) else [value]
    return bool(items) and all(
        isinstance(item, dict) and any(set(keys) <= item.keys() for keys in _PAIRS_OF_KEYS)
        for item in items
    )
