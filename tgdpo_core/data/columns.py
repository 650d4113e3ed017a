"""Which column of a row is what, by its name or by the map of ``data.columns``."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from tgdpo_core.data.report import RowProblem
from tgdpo_core.errors import DataError, did_you_mean
from tgdpo_core.recipe.columns import FIELD_OF, NAMES, RowFormat, plain_name


@dataclass(frozen=True)
class RowReading:
    """How rows are to be read.

    Attributes:
        format: which row format, or ``auto``: what the columns say.
        columns: field (any known name) to the column that holds it; a column to None: it is left
            alone, for plugins.
        prompts_suffice: whether a row needs no responses; they are empty then.
    """

    format: RowFormat = "auto"
    columns: Mapping[str, str | None] = field(default_factory=dict)
    prompts_suffice: bool = False


class Fields:
    """The columns of one row by what they are.

    Attributes:
        free: the columns that are nothing the program knows.
    """

    def __init__(self) -> None:
        self._columns: dict[str, dict[str, Any]] = {}
        self._read: set[str] = set()
        self.free: dict[str, Any] = {}

    def add(self, name: str, column: str, value: Any) -> None:
        """Take a column as one that may be the field ``name``."""
        found = {**self._columns.get(name, {}), column: _read(name, value)}
        order = {usual: i for i, usual in enumerate(NAMES[name])}
        self._columns[name] = dict(
            sorted(found.items(), key=lambda item: order.get(plain_name(item[0]), -1))
        )

    def has(self, name: str) -> bool:
        """Return whether there is a column for a field, be it blank."""
        return name in self._columns

    def filled(self, name: str) -> bool:
        """Return whether there is a column for a field that says something."""
        return any(not is_blank(value) for value in self._columns.get(name, {}).values())

    def column(self, name: str) -> str:
        """Return the column that is read as a field: the first that is not blank."""
        columns = self._columns.get(name, {name: None})
        return next((c for c, value in columns.items() if not is_blank(value)), next(iter(columns)))

    def peek(self, name: str) -> Any:
        """Return a field's value; None where there is none."""
        return self._columns.get(name, {}).get(self.column(name))

    def read(self, name: str) -> Any:
        """Return a field's value and note that it is used."""
        self._read.add(self.column(name))
        return self.peek(name)

    def unread(self) -> Iterable[tuple[str, str, Any]]:
        """Yield field, column and value of every column that says something and was not read."""
        for name, columns in self._columns.items():
            for column, value in columns.items():
                if column not in self._read and not is_blank(value):
                    yield name, column, value

    def names(self) -> list[str]:
        """Return the names of all columns, for messages."""
        known = [column for columns in self._columns.values() for column in columns]
        return sorted([*known, *self.free])


def sort_columns(row: Mapping[str, Any], columns: Mapping[str, str | None]) -> Fields:
    """Return a row's columns by what they are.

    Args:
        row: column names to values.
        columns: see ``RowReading``.

    Raises:
        RowProblem: a column name is not text, or two columns have one name but for their case.
    """
    fields = Fields()
    mapped = {column: name for name, column in columns.items() if column is not None}
    replaced = {plain_name(name) for name in columns}
    seen: dict[str, str] = {}
    for column, value in row.items():
        if not isinstance(column, str):
            raise RowProblem("not_a_row", f"a column's name must be text, found {column!r}")
        plain = plain_name(column)
        if column in mapped:
            fields.add(FIELD_OF[plain_name(mapped[column])], column, value)
        elif plain not in FIELD_OF or plain in replaced:
            _refuse_misspelt(column, plain, value, columns)
            fields.free[column] = value
        else:
            if plain in seen:
                raise RowProblem(
                    "ignored_column",
                    f"'{seen[plain]}' and '{column}' are one name. Rename one of them",
                )
            seen[plain] = column
            fields.add(FIELD_OF[plain], column, value)
    return fields


_LISTS = ("messages", "history", "tools", "chat_template_kwargs")
_EMPTY = ("[]", "{}", "null", "None")  # as CSV files and JSON in JSON write it


def _read(name: str, value: Any) -> Any:
    if name in _LISTS and isinstance(value, str) and value.strip() in _EMPTY:
        return None
    return _plain(value)


def _plain(value: Any) -> Any:
    """Return arrays, as data frames hold them, as lists, and their missing values as None."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _refuse_misspelt(
    column: str, plain: str, value: Any, columns: Mapping[str, str | None]
) -> None:
    """Refuse text or a list in a column whose name is almost one that would be read."""
    near = _nearest_name(plain)
    if near and column not in columns and isinstance(value, str | list) and not is_blank(value):
        raise RowProblem(
            "ignored_column",
            f"'{column}' would be ignored. Did you mean '{near}'? Then --set "
            f"data.columns.{FIELD_OF[near]}={column}; otherwise --set data.columns.{column}=null",
        )


@lru_cache(maxsize=1024)
def _nearest_name(plain: str) -> str | None:
    if plain in FIELD_OF:
        return None
    names = [name for name in FIELD_OF if not name.startswith("response_")]  # 'response' is none
    return next(iter(difflib.get_close_matches(plain, names, n=1, cutoff=0.88)), None)


def require_columns(columns: Mapping[str, str | None], found: Iterable[str], source: str) -> None:
    """Raise ``DataError`` for a map that names a column which no row has."""
    there = set(found)
    if not there:
        return
    for name, column in columns.items():
        wanted = name if column is None else column
        if wanted not in there:
            raise DataError(
                f"{source}: data.columns names the column '{wanted}', which no row has. "
                f"{did_you_mean(wanted, there)}"
            )


def is_blank(value: Any) -> bool:
    """Return whether a value says nothing: null, NaN, white space, an empty list or mapping."""
    if value is None or (isinstance(value, float) and value != value):
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, list | tuple | Mapping) and not value
