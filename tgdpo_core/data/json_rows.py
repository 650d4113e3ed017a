"""Rows of JSON files: one object a line, an array of objects, or an object that holds the array."""

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from tgdpo_core.data.report import RowProblem
from tgdpo_core.data.rows import Line, Row
from tgdpo_core.errors import DataError
from tgdpo_core.recipe.columns import FIELD_OF, plain_name


def json_rows(label: str, lines: Iterator[Line]) -> Iterator[Row]:
    """Yield the rows of a JSON file, whatever its ending says; lines are read as they are needed.

    Raises:
        DataError: not JSON, or not rows; file and line are named.
    """
    filled = ((number, line) for number, line in lines if line.strip())
    first = next(filled, None)
    if first is None:
        return
    if first[1].lstrip().startswith("["):
        yield from _of_array(label, chain([first], filled))
        return
    second = next(filled, None)
    start = [first] if second is None else [first, second]
    if _is_object(first[1]) and not (second is None and _holds_rows(first[1])):
        for number, line in chain(start, filled):
            where = f"{label}:{number}"
            yield where, _object(where, _parse(where, line))
        return
    yield from _of_wrapper(label, list(chain(start, filled)))


def _of_array(label: str, lines: Iterator[Line]) -> Iterator[Row]:
    text = "\n" + "".join(line for _, line in lines)
    for i, row in enumerate(_parse(label, text.lstrip("\n")), 1):
        where = f"{label} row {i}"
        yield where, _object(where, row)


def _of_wrapper(label: str, lines: list[Line]) -> Iterator[Row]:
    """Yield the rows that one object over the whole file holds (``{"data": [...]}``)."""
    try:
        whole = _loads("".join(line for _, line in lines))
    except (ValueError, RecursionError):
        number, line = lines[0]
        _parse(f"{label}:{number}", line)  # the error of a file that has one object a line
        raise
    if isinstance(whole, RowProblem):
        raise DataError(f"{label}: {whole}")
    if not isinstance(whole, dict):
        raise DataError(f"{label}:{lines[0][0]}: expected a JSON object, found {_kind(whole)}.")
    lists = {key: value for key, value in whole.items() if _is_list_of_rows(value)}
    if _names_fields(whole):
        yield f"{label}:{lines[0][0]}", whole
    elif len(lists) == 1:
        ((key, rows),) = lists.items()
        yield from ((f"{label} {key} row {i}", row) for i, row in enumerate(rows, 1))
    else:
        found = f"{len(lists)} lists of rows" if lists else "no list of rows"
        raise DataError(
            f"{label}: one JSON object with {found} in it (keys: {', '.join(map(str, whole))}). "
            "Expected a JSON array of objects, one JSON object a line, or an object with one list."
        )


def _holds_rows(line: str) -> bool:
    row = _loads(line)
    return (
        isinstance(row, dict)
        and not _names_fields(row)
        and any(_is_list_of_rows(value) for value in row.values())
    )


def _names_fields(row: Mapping[str, Any]) -> bool:
    return any(plain_name(name) in FIELD_OF for name in row)


def _is_object(line: str) -> bool:
    """Return whether a line is a JSON value of its own (an unfinished object is not)."""
    try:
        _loads(line)
    except json.JSONDecodeError:
        return not line.lstrip().startswith("{")
    except (ValueError, RecursionError):
        return True
    return True


def _is_list_of_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _parse(where: str, text: str) -> Any:
    try:
        return _loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{where}: not valid JSON: {error.msg} (line {error.lineno}, column {error.colno}). "
            "Expected a JSON array of objects, or one JSON object a line."
        ) from error
    except (ValueError, RecursionError) as error:  # a number of 5000 digits, 100000 brackets
        raise DataError(f"{where}: JSON that cannot be read: {error}") from error


def _loads(text: str) -> Any:
    """Return a JSON value; an object that has a key twice is a ``RowProblem`` in its place."""
    return json.loads(text, object_pairs_hook=_no_key_twice)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        return RowProblem("duplicate_key", f"the key '{twice}' stands twice in an object")
    return next(_problems_in(list(found.values())), found)


def _problems_in(values: list[Any]) -> Iterator[RowProblem]:
    """Yield the problems of what a list holds: those of an object are the object's own."""
    for value in values:
        if isinstance(value, RowProblem):
            yield value
        elif isinstance(value, list):
            yield from _problems_in(value)


def _object(where: str, row: Any) -> Any:
    if not isinstance(row, dict | RowProblem):
        raise DataError(f"{where}: expected a JSON object, found {_kind(row)}.")
    return row


def _kind(value: Any) -> str:
    return type(value).__name__
