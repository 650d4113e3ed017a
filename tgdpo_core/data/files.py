"""Local files of rows: JSON, JSON lines, CSV, Parquet, Arrow, compressed or not."""

import bz2
import csv
import gzip
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import IO, Any

from tgdpo_core.data.json_rows import json_rows
from tgdpo_core.data.report import RowProblem
from tgdpo_core.data.rows import Line, Row
from tgdpo_core.errors import DataError
from tgdpo_core.recipe.columns import FIELD_OF, plain_name

_JSON = (".json", ".jsonl", ".ndjson")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_COMPRESSED: Mapping[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
_GZIP_BEGINS = b"\x1f\x8b"
_UTF16_BEGINS = (b"\xff\xfe", b"\xfe\xff")
_ARROW_BEGINS = b"ARROW1"
_BOM = b"\xef\xbb\xbf"

_ARROW = (".arrow", ".feather")
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)

FILE_TYPES = (*_JSON, *_DELIMITERS, ".parquet", *_ARROW)
"""Endings of files that can be read; those of text also with .gz, .bz2 or .xz after them."""


def file_type(path: Path) -> str:
    """Return a file's ending, that of its content where it is compressed."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in _COMPRESSED else suffix


def file_rows(path: Path, label: str) -> Iterator[Row]:
    """Yield the rows of a file, read as they are needed where the format allows it.

    Args:
        path: the file.
        label: its name in messages.

    Raises:
        DataError: unknown ending, unreadable, damaged, not UTF-8, or not rows.
    """
    kind = file_type(path)
    try:
        if kind == ".parquet":
            yield from _arrow_rows(_parquet_batches(path), label)
        elif kind in _ARROW:
            yield from _arrow_rows(_arrow_batches(path), label)
        elif kind in _DELIMITERS:
            yield from _csv_rows(path, label, _DELIMITERS[kind])
        elif kind in _JSON:
            yield from json_rows(label, _lines(path))
        else:
            raise DataError(
                f"{path}: unknown file type '{path.suffix}' (data.path). "
                f"Known: {', '.join(FILE_TYPES)}; compressed: {', '.join(_COMPRESSED)}."
            )
    except (*_DAMAGED, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def arrow_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an Arrow row with the nulls left out that its schema adds.

    In Arrow all structs of a column have the same keys; a key that one tool call lacks is null
    there, and would be written as an argument that nobody gave.
    """
    return {
        name: _without_nulls(value) if plain_name(name) in FIELD_OF else value
        for name, value in row.items()
    }


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _arrow_rows(batches: Iterator[Any], label: str) -> Iterator[Row]:
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            number += 1
            yield f"{label} row {number}", arrow_row(row)


def _parquet_batches(path: Path) -> Iterator[Any]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        yield from file.iter_batches()


def _arrow_batches(path: Path) -> Iterator[Any]:
    """Yield the batches of an Arrow file of either form, with an index at its end or without."""
    import pyarrow

    with pyarrow.memory_map(str(path)) as source:
        if source.read(len(_ARROW_BEGINS)) == _ARROW_BEGINS:
            reader = pyarrow.ipc.open_file(source)
            yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
        else:
            source.seek(0)
            yield from pyarrow.ipc.open_stream(source)


def _csv_rows(path: Path, label: str, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)  # responses may be longer than 128 KiB
    lines = (line for _, line in _lines(path))
    # strict: a quote that is never closed is an error, not one cell with the rest of the file.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        if twice := sorted({name for name in header if header.count(name) > 1}):
            raise DataError(f"{path}: the column '{twice[0]}' stands twice in the first line.")
        for cells in reader:
            where = f"{label}:{reader.line_num}"
            if len(cells) == len(header):
                yield where, dict(zip(header, cells, strict=True))
            elif cells:
                yield (
                    where,
                    RowProblem("bad_csv", f"{len(cells)} cells under {len(header)} columns"),
                )
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not valid CSV: {error}") from error


def _lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a text file with their numbers."""
    with _opened(path) as file:
        start = file.readline()
        if start.startswith(_UTF16_BEGINS):
            raise DataError(f"{path} is UTF-16. Convert it to UTF-8.")
        if start.startswith(_GZIP_BEGINS):
            raise DataError(f"{path} is compressed with gzip. Name it {path.name}.gz.")
        whole = _until_damaged(path, chain([start.removeprefix(_BOM)], file))
        for number, line in whole:
            try:
                yield number, line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}:{number}: cannot be read: not UTF-8: byte 0x{line[error.start]:02x} "
                    f"after {error.start} bytes of the line. Convert the file to UTF-8."
                ) from error


def _until_damaged(path: Path, lines: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            yield number, line
    except _DAMAGED as error:
        raise DataError(
            f"{path}:{number + 1}: cannot be read, nor what follows: {error}. Make the file anew "
            "or copy it again."
        ) from error


def _opened(path: Path) -> IO[bytes]:
    opened: IO[bytes] = _COMPRESSED.get(path.suffix.lower(), open)(path, "rb")
    return opened
