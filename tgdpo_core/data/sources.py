"""Where rows come from: a registered data set, a local file or folder, or the Hub."""

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tgdpo_core.errors import DataError, PluginError, TgdpoError, did_you_mean
from tgdpo_core.plugin_api.manager import PluginManager

Row = tuple[str, Mapping[str, Any]]
"""``where`` (for messages) and the row."""

_FILE_TYPES = (".json", ".jsonl", ".ndjson", ".parquet", ".csv")


def load_rows(path: str, *, split: str, plugins: PluginManager) -> list[Row]:
    """Return the rows of a data set with the place of each.

    Args:
        path: the name of a registered data set, a local JSON, JSONL, Parquet or CSV file, a folder
            saved by ``datasets``, or a Hub id, tried in this order (write ``./name`` for a local
            folder that has the name of a registered data set).
        split: which split of a registered data set, a folder or a Hub id; a file is one split.
        plugins: where registered data sets are found.

    Raises:
        DataError: nothing there, or not readable; the message names file and line.
    """
    if plugins.has("dataset", path):
        return _registered(path, split, plugins)
    local = Path(path).expanduser()
    if local.is_file():
        return list(_file_rows(local))
    if local.is_dir():
        return _from_datasets(local.name, _load_folder(local, split))
    if local.suffix in _FILE_TYPES or path.startswith((".", "/", "~")):
        raise DataError(f"{path}: no such file or folder (data.path). {_siblings(local)}".strip())
    return _from_datasets(path, _load_hub(path, split, plugins))


def _registered(name: str, split: str, plugins: PluginManager) -> list[Row]:
    found = plugins.find("dataset", name)
    try:
        rows = list(found.create().rows(split))
    except ValueError as error:
        raise DataError(f"Data set '{name}': {error}") from error
    except TgdpoError:
        raise
    except Exception as error:
        raise PluginError(f"{found} failed: {type(error).__name__}: {error}") from error
    return [(f"{name}[{split}] row {i}", row) for i, row in enumerate(rows, 1)]


def _file_rows(path: Path) -> Iterator[Row]:
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            rows = pyarrow.parquet.read_table(path).to_pylist()
            yield from ((f"{path.name} row {i}", row) for i, row in enumerate(rows, 1))
        elif path.suffix == ".csv":
            csv.field_size_limit(sys.maxsize)  # responses may be longer than 128 KiB
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file)
                yield from ((f"{path.name}:{reader.line_num}", row) for row in reader)
        elif path.suffix in _FILE_TYPES:
            yield from _json_rows(path)
        else:
            raise DataError(
                f"{path}: unknown file type '{path.suffix}' (data.path). "
                f"Known: {', '.join(_FILE_TYPES)}."
            )
    except (OSError, ValueError, csv.Error) as error:  # ValueError: not UTF-8, not Parquet
        raise DataError(f"{path} cannot be read: {error}") from error


def _json_rows(path: Path) -> Iterator[Row]:
    """Read a JSON array, or one JSON object a line, whatever the file's ending says."""
    text = path.read_text(encoding="utf-8-sig")
    if text.lstrip().startswith("["):
        yield from _array_rows(path, text)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path.name}:{number}"
            yield where, _require_object(where, _parse(where, line))


def _array_rows(path: Path, text: str) -> Iterator[Row]:
    for i, row in enumerate(_parse(path.name, text), 1):
        where = f"{path.name} row {i}"
        yield where, _require_object(where, row)


def _parse(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{where}: not valid JSON: {error.msg} (line {error.lineno}, column {error.colno}). "
            "Expected a JSON array of objects, or one JSON object a line."
        ) from error


def _require_object(where: str, row: Any) -> Mapping[str, Any]:
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}.")
    return row


def _load_folder(path: Path, split: str) -> Any:
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except (FileNotFoundError, ValueError) as error:
        raise DataError(
            f"{path} (data.path) is not a folder saved by datasets.save_to_disk: {error}"
        ) from error
    if isinstance(loaded, datasets.DatasetDict):
        if split not in loaded:
            raise DataError(f"{path} has no split '{split}'. {did_you_mean(split, loaded)}")
        return loaded[split]
    return loaded


def _load_hub(name: str, split: str, plugins: PluginManager) -> Any:
    import datasets

    try:
        return datasets.load_dataset(name, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"data.path '{name}' is neither a registered data set, nor a local file or folder, nor "
            f"a data set of the Hub that can be loaded now: {error}\n"
            f"Registered: {did_you_mean(name, plugins.names('dataset'))}"
        ) from error


def _from_datasets(name: str, dataset: Any) -> list[Row]:
    return [(f"{name} row {i}", row) for i, row in enumerate(dataset, 1)]


def _siblings(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"The folder {folder} does not exist either."
    files = [p.name for p in folder.iterdir() if p.suffix in _FILE_TYPES]
    return did_you_mean(path.name, files) if files else ""
