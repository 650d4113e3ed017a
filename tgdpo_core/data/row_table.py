"""Rows of a data set that can be read by number, with the place of each."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tgdpo_core.data.files import arrow_row
from tgdpo_core.data.mapped_columns import MappedColumns
from tgdpo_core.data.report import RowProblem
from tgdpo_core.data.rows import Row

_ROWS_PER_BATCH = 1000
_FILE = "rows.arrow"


class RowTable(Sequence[Row]):
    """Rows by number.

    Attributes:
        name: what messages call the data set.
        content: JSON that names the rows' content; None where only reading them would tell.
        is_mapped: whether the rows lie on disk, so that other processes read them at no cost.
    """

    name: str
    content: Mapping[str, Any] | None = None
    is_mapped: bool = False

    def where(self, index: int) -> str:
        """Return the place of a row, for messages."""
        place: str = self[index][0]
        return place


class ListedRows(RowTable):
    """Rows that are in memory anyway."""

    def __init__(self, name: str, rows: Sequence[Row]) -> None:
        self.name = name
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        """Return place and row."""
        return self._rows[index]


class DatasetRows(RowTable):
    """Rows of a ``datasets.Dataset``, which maps its files by itself.

    Args:
        name: how messages call it.
        dataset: the rows.
        place: of a row, with ``{0}`` for its number from 0 and ``{1}`` for that from 1.
    """

    is_mapped = True

    def __init__(self, name: str, dataset: Any, place: str) -> None:
        self.name = name
        self._place = place
        self._dataset = dataset
        self.content = {"datasets": dataset._fingerprint}

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: Any) -> Any:
        """Return place and row."""
        return self.where(index), arrow_row(self._dataset[int(index)])

    def where(self, index: int) -> str:
        """Return the place of a row, for messages."""
        return self._place.format(index, index + 1)


class JsonRows(RowTable):
    """Rows that were read from text files, kept as JSON.

    Args:
        name: how messages call the data set.
        folder: where ``write_rows`` has put them.
        content: names what they were read from.
    """

    is_mapped = True

    def __init__(self, name: str, folder: Path, content: Mapping[str, Any]) -> None:
        self.name = name
        self.content = content
        self._columns = MappedColumns([folder / _FILE])

    def __len__(self) -> int:
        return len(self._columns)

    def __getitem__(self, index: Any) -> Any:
        """Return place and row."""
        row = int(index)
        where = self.where(row)
        if kind := self._columns.value("problem_kind", row):
            return where, RowProblem(kind, self._columns.value("row", row))
        return where, json.loads(self._columns.value("row", row))

    def where(self, index: int) -> str:
        """Return the place of a row, for messages."""
        place: str = self._columns.value("where", index)
        return place


def write_rows(rows: Iterable[Row], folder: Path) -> None:
    """Write rows for ``JsonRows``, a batch at a time.

    Raises:
        OSError: the disk is full.
    """
    import pyarrow

    names = ("where", "row", "problem_kind")
    schema = pyarrow.schema([(name, pyarrow.large_string()) for name in names])
    with pyarrow.ipc.new_stream(str(folder / _FILE), schema) as writer:
        batch: list[tuple[str, str, str | None]] = []
        for where, row in rows:
            if isinstance(row, RowProblem):
                batch.append((where, str(row), row.kind))
            else:
                batch.append((where, json.dumps(row), None))
            if len(batch) == _ROWS_PER_BATCH:
                writer.write_batch(pyarrow.record_batch(list(zip(*batch, strict=True)), schema))
                batch = []
        if batch:
            writer.write_batch(pyarrow.record_batch(list(zip(*batch, strict=True)), schema))
