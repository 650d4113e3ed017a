"""Rows of the tools' files: where they write an object a line, every line is one row."""

import json
from collections.abc import Iterator
from pathlib import Path

from tgdpo_core.data.files import file_rows
from tgdpo_core.data.report import RowProblem
from tgdpo_core.data.rows import Row
from tgdpo_core.errors import DataError

_LINES = (".jsonl", ".ndjson")


def tool_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file; a line that is no object is a problem in the row's place.

    Raises:
        DataError: the file cannot be read, or is not UTF-8.
    """
    if path.suffix not in _LINES:
        yield from file_rows(path, path.name)
        return
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path.name}:{number}", _row(line)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _row(line: str) -> dict[str, object] | RowProblem:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return RowProblem("not JSON", f"not valid JSON: {error}")
    if not isinstance(row, dict):
        return RowProblem("not JSON", f"expected an object, found {type(row).__name__}")
    return row
