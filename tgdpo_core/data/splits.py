"""Splits and slices: ``train``, ``train[:100]``, ``train[10%:]``, as in ``datasets``."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from tgdpo_core.errors import DataError

T = TypeVar("T")

WHOLE = "train"
"""What the rows of a file are called."""


def is_part(split: str) -> bool:
    """Return whether a split is more than a name: a slice, or a sum of splits."""
    return any(mark in split for mark in "[+(")


def rows_of_split(split: str, load: Callable[[str], Iterable[T]]) -> Iterator[T]:
    """Yield the rows of a split, or of the slices and sums that it names.

    Args:
        split: a name, or a specification of ``datasets``.
        load: the rows of one named split.

    Raises:
        DataError: a specification that cannot be read, or a slice without any row.
    """
    if not is_part(split):
        yield from load(split)
        return
    from datasets import ReadInstruction

    loaded = _Loaded(load)
    try:
        parts = ReadInstruction.from_spec(split).to_absolute(loaded)
    except (ValueError, AssertionError) as error:
        raise DataError(
            f"data.split {split!r} cannot be read: {error}. Expected, for example, 'train[:100]', "
            "'train[10%:]' or 'train[:50]+train[-50:]'."
        ) from error
    for part in parts:
        yield from loaded.rows[part.splitname][part.from_ : part.to]


def require_whole(split: str, path: str) -> None:
    """Raise ``DataError`` unless every part of a split is of the one that a file has."""
    for part in split.split("+"):
        name = part.split("[")[0].split("(")[0].strip()
        if name != WHOLE:
            raise DataError(
                f"data.split {split!r} asks for the split '{name}', but {path} has no splits: all "
                f"its rows are '{WHOLE}'. Slices of it work: '{WHOLE}[:100]', '{WHOLE}[10%:]'."
            )


class _Loaded(dict[str, int]):
    """Lengths of splits by name, each loaded when it is asked for."""

    def __init__(self, load: Callable[[str], Iterable[object]]) -> None:
        super().__init__()
        self._load = load
        self.rows: dict[str, list[Any]] = {}

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __missing__(self, name: str) -> int:
        self.rows[name] = list(self._load(name))
        self[name] = len(self.rows[name])
        return self[name]
