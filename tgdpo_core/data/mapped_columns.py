"""Columns of Arrow files, memory-mapped: what is not read takes no memory."""

import bisect
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class MappedColumns:
    """The columns of Arrow files, memory-mapped; only what is read is paged in.

    Args:
        paths: Arrow streams with one schema, in order.

    Raises:
        OSError: a file cannot be read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        import pyarrow

        self._paths = paths
        tables = [
            pyarrow.ipc.open_stream(pyarrow.memory_map(str(path))).read_all() for path in paths
        ]
        self._table = pyarrow.concat_tables(tables)
        chunks = self._table.column(0).chunks
        self._ends = list(accumulate(len(chunk) for chunk in chunks))
        self._chunks: dict[str, Sequence[Any]] = {
            name: self._table.column(name).chunks for name in self._table.column_names
        }
        self._lists: dict[tuple[str, int], tuple[Array, Array]] = {}

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __reduce__(self) -> Any:
        """Another process maps the files anew."""
        return MappedColumns, (self._paths,)

    def value(self, name: str, row: int) -> Any:
        """Return one value."""
        chunk, at = self._place(row)
        return self._chunks[name][chunk][at].as_py()

    def list(self, name: str, row: int) -> Array:
        """Return one list of numbers, a view of the file."""
        chunk, at = self._place(row)
        if (name, chunk) not in self._lists:
            array = self._chunks[name][chunk]
            self._lists[name, chunk] = array.offsets.to_numpy(), array.values.to_numpy()
        bounds, values = self._lists[name, chunk]
        return values[bounds[at] : bounds[at + 1]]

    def column(self, name: str) -> Any:
        """Return a whole column, as Arrow has it."""
        return self._table.column(name)

    def list_lengths(self, name: str) -> Array:
        """Return the lengths of a column's lists, [N] int64."""
        parts = [np.diff(chunk.offsets.to_numpy()) for chunk in self._chunks[name]]
        return np.concatenate([*parts, np.empty(0, np.int64)]).astype(np.int64)

    def numbers(self, name: str) -> Array:
        """Return a column of one number each, [N] int64."""
        numbers: Array = self.column(name).to_numpy().astype(np.int64)
        return numbers

    def hashes(self, name: str) -> Array:
        """Return a column of 16 bytes each, [N, 16] uint8."""
        parts = [np.frombuffer(chunk.buffers()[2], np.uint8) for chunk in self._chunks[name]]
        return np.concatenate([*parts, np.empty(0, np.uint8)])[: 16 * len(self)].reshape(-1, 16)

    def _place(self, row: int) -> tuple[int, int]:
        chunk = bisect.bisect_right(self._ends, row)
        return chunk, row - (self._ends[chunk - 1] if chunk else 0)
