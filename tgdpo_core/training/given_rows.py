"""What a user may hand to the trainer as data, turned into tables of rows.

Rows: a ``datasets.Dataset``, a list of dicts, a pandas ``DataFrame``, an iterator of dicts, an
``IterableDataset``, a ``DatasetDict`` with one split or with the split that the argument is named
after, or pairs that are tokenized already.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tgdpo_core.data.pairs import TokenizedPair
from tgdpo_core.data.row_table import DatasetRows, ListedRows, RowTable
from tgdpo_core.data.token_table import ListedTokens, TokenTable
from tgdpo_core.errors import DataError

TrainData = Any  # see above
EvalData = Any  # the same, or a mapping from names to it

_TAKEN = (
    "a datasets.Dataset, a list of dicts, a pandas DataFrame, an iterator or IterableDataset of "
    "dicts, a DatasetDict with one split, or tokenized pairs"
)
_SPLITS = {
    "train_dataset": ("train",),
    "eval_dataset": ("validation", "eval", "test"),
}  # the splits that an argument may mean, in a DatasetDict with several


def rows_of(data: TrainData, name: str, limit: int) -> RowTable | TokenTable:
    """Return data as a table of rows; pairs that are tokenized already as a table of those.

    Args:
        data: see the module.
        name: ``train_dataset`` or ``eval_dataset``, for messages.
        limit: most rows of a stream.

    Raises:
        DataError: not rows at all, or none.
    """
    if isinstance(data, TokenTable):
        return data
    if _is_class(data, "datasets", "Dataset"):
        rows: RowTable = DatasetRows(name, data, name + "[{0}]")
    else:
        given = _rows(data, name, limit)
        if {isinstance(row, TokenizedPair) for row in given} == {True}:
            return ListedTokens(given)
        rows = ListedRows(name, [(f"{name}[{i}]", row) for i, row in enumerate(given)])
    if not len(rows):
        raise DataError(f"{name} is empty: it holds no row.")
    if not isinstance(rows[0][1], Mapping):
        raise _no_row(name, 0, rows[0][1])
    return rows


def sets_of(data: EvalData) -> Mapping[str, TrainData]:
    """Return the evaluation sets by name; none for None, '' for one without a name.

    A dict or a ``DatasetDict`` is several sets, whose metrics are called ``eval_NAME_...``; a
    ``DatasetDict`` with one split is one set without a name, as any other data.

    Raises:
        DataError: a dict that is no dict of sets.
    """
    if data is None:
        return {}
    if not isinstance(data, Mapping) or _is_one_split(data):
        return {"": data}
    if not data:
        raise DataError("eval_dataset is empty: it holds no evaluation set.")
    if _looks_like_a_row(data):
        raise DataError(
            "eval_dataset is one row; give a list of rows, or a dict from names to data sets."
        )
    for name in data:
        if not isinstance(name, str) or not name:
            raise DataError(f"eval_dataset: a set's name must be text, got {name!r}.")
    return data


def _rows(data: Any, name: str, limit: int) -> Sequence[Any]:
    """Return data as a sequence of rows."""
    if isinstance(data, Mapping):
        return _of_mapping(data, name, limit)
    if _is_class(data, "pandas", "DataFrame"):
        return [_plain(row) for row in data.to_dict("records")]
    if _is_class(data, "polars", "DataFrame"):
        return list(data.to_dicts())
    if _is_class(data, "pyarrow", "Table"):
        return list(data.to_pylist())
    if isinstance(data, str | bytes) or not _gives_rows(data):
        raise _not_data(name, data)
    if hasattr(data, "__len__"):
        return data if isinstance(data, list) else _indexed(data)
    return _materialised(data, name, limit)


def _plain(value: Any) -> Any:
    """Return what a cell of a frame holds as JSON has it: arrays are lists, NaN is null."""
    if _is_class(value, "numpy", "ndarray") or isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and value != value else value


def _gives_rows(data: Any) -> bool:
    """Return whether something can be gone through row by row."""
    if isinstance(data, Iterable):
        return not _is_class(data, "torch", "Tensor") and not _is_class(data, "numpy", "ndarray")
    return hasattr(data, "__len__") and hasattr(data, "__getitem__")  # torch's map-style data sets


def _indexed(data: Any) -> Sequence[Any]:
    """Return the rows of something with a length, which may have no ``__iter__``."""
    if isinstance(data, Iterable):
        return list(data)
    return [data[i] for i in range(len(data))]


def _materialised(data: Iterable[Any], name: str, limit: int) -> list[Any]:
    """Return the rows of a stream; training goes over them several times and in random order."""
    rows = list(itertools.islice(iter(data), limit + 1))
    if len(rows) > limit:
        raise DataError(
            f"{name} is a stream of more than {limit} rows. Rows are scored and shuffled, so they "
            "must fit into memory: raise TGDPOConfig(max_streamed_rows=...), or give a "
            "datasets.Dataset."
        )
    return rows


def _of_mapping(data: Mapping[Any, Any], name: str, limit: int) -> Sequence[Any]:
    """Return the rows of the one split that is meant."""
    if not _is_split_dict(data):
        what = "one row" if _looks_like_a_row(data) else f"a dict with {list(data)[:5]}"
        raise DataError(f"{name} is {what}; give {_TAKEN}.")
    meant = [split for split in _SPLITS.get(name, ()) if split in data] if len(data) > 1 else data
    if not meant:
        wanted = " or ".join(f"'{split}'" for split in _SPLITS.get(name, ())) or "one split"
        raise DataError(
            f"{name} is a DatasetDict with the splits {', '.join(map(str, data))}, none of which "
            f"is {wanted}: give one of them, data['NAME']."
        )
    return _rows(data[next(iter(meant))], name, limit)


def _is_split_dict(data: Any) -> bool:
    return _is_class(data, "datasets", "DatasetDict") or _is_class(
        data, "datasets", "IterableDatasetDict"
    )


def _is_one_split(data: Mapping[Any, Any]) -> bool:
    return _is_split_dict(data) and len(data) == 1


def _looks_like_a_row(data: Mapping[Any, Any]) -> bool:
    return "chosen" in data or "rejected" in data


def _not_data(name: str, data: Any) -> DataError:
    found = f"{type(data).__module__}.{type(data).__qualname__}".removeprefix("builtins.")
    hint = ""
    if isinstance(data, str):
        hint = (
            f" A file or a Hub data set is loaded with datasets.load_dataset({data[:60]!r}, "
            "split='train'), or trained on with tgdpo train --dataset."
        )
    return DataError(f"{name} must be {_TAKEN}; got {found}.{hint}")


def _no_row(name: str, index: int, row: Any) -> DataError:
    found = "None" if row is None else type(row).__name__
    return DataError(
        f"{name}[{index}]: expected a dict with the columns of a row (prompt, chosen, rejected, "
        f"..), got {found}."
    )


def _is_class(value: Any, package: str, name: str) -> bool:
    """Return whether a value is of a class of a package, which need not be imported for it."""
    return any(
        cls.__name__ == name and cls.__module__.partition(".")[0] == package
        for cls in type(value).__mro__
    )
