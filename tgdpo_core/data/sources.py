"""Where rows come from: a registered data set, local files or a folder, or the Hub."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tgdpo_core.data.files import FILE_TYPES, arrow_row, file_rows, file_type
from tgdpo_core.data.paths import (
    files_of_folder,
    is_saved_dataset,
    labels,
    named_files,
    says_splits,
    siblings,
)
from tgdpo_core.data.rows import Row
from tgdpo_core.data.splits import WHOLE, is_part, require_whole, rows_of_split
from tgdpo_core.errors import DataError, PluginError, TgdpoError, did_you_mean
from tgdpo_core.plugin_api.manager import PluginManager

__all__ = ["Row", "default_split", "load_rows"]


def load_rows(
    path: str,
    *,
    split: str,
    plugins: PluginManager,
    name: str | None = None,
    revision: str | None = None,
) -> Iterator[Row]:
    """Yield the rows of a data set with the place of each; they are read as they are needed.

    Args:
        path: the name of a registered data set; a local JSON, JSONL, CSV, TSV or Parquet file,
            compressed or not; several files with commas between them, or a pattern (``*.jsonl``); a
            folder of such files, or saved by ``datasets``; or a Hub id. Tried in this order (write
            ``./name`` for a local folder that has the name of a registered data set).
        split: a split of it, with slices as in ``datasets`` (``train[:100]``); files are the split
            ``train``.
        plugins: where registered data sets are found.
        name: configuration of a Hub data set.
        revision: branch, tag or commit of a Hub data set.

    Raises:
        DataError: nothing there, or not readable; the message names file and line.
    """
    if plugins.has("dataset", path):
        _refuse_hub_settings(path, name, revision)
        yield from rows_of_split(split, lambda each: _registered(path, each, plugins))
        return
    files, folder = named_files(path), Path(path).expanduser()
    if files is None and folder.is_dir():
        if is_saved_dataset(folder):
            _refuse_hub_settings(path, name, revision)
            yield from rows_of_split(
                split, lambda each: _from_datasets(path, saved_dataset(folder, each))
            )
            return
        files = files_of_folder(folder, split)
        split = split if is_part(split) else WHOLE  # the files are those of the split
    if files is not None:
        _refuse_hub_settings(path, name, revision)
        require_whole(split, path)
        yield from rows_of_split(split, lambda _: _of_files(files))
        return
    if looks_local(path):
        raise DataError(f"{path}: no such file or folder (data.path). {siblings(folder)}".strip())
    dataset = hub_dataset(path, split, plugins, name=name, revision=revision)
    yield from _from_datasets(path, dataset)


def looks_local(path: str) -> bool:
    """Return whether a name can only be that of a file or folder."""
    return file_type(Path(path)) in FILE_TYPES or path.startswith((".", "/", "~"))


def default_split(path: str, plugins: PluginManager, otherwise: str) -> str:
    """Return the split that is meant where none is given: files and folders of them are one."""
    if plugins.has("dataset", path):
        return otherwise
    local = Path(path).expanduser()
    if named_files(path) is not None:
        return WHOLE
    has_splits = not local.is_dir() or is_saved_dataset(local) or says_splits(local)
    return otherwise if has_splits else WHOLE


def _of_files(files: Iterable[Path]) -> Iterator[Row]:
    files = list(files)
    for path, label in zip(files, labels(files), strict=True):
        yield from file_rows(path, label)


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


def _saved(folder: Path, split: str) -> Iterator[Row]:
    return _from_datasets(folder.name, saved_dataset(folder, split))


def saved_dataset(path: Path, split: str) -> Any:
    """Return a split of a folder saved by ``datasets``.

    Raises:
        DataError: it cannot be read, or has no such split.
    """
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
    if split != str(loaded.split):
        require_whole(split, str(path))
    return loaded


def hub_dataset(
    path: str, split: str, plugins: PluginManager, *, name: str | None, revision: str | None
) -> Any:
    """Return a split of a data set of the Hub.

    Raises:
        DataError: it cannot be loaded now.
    """
    import datasets

    try:
        return datasets.load_dataset(path, name=name, revision=revision, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"data.path '{path}' is neither a registered data set, nor a local file or folder, nor "
            f"a data set of the Hub that can be loaded now: {error}; nor is it in the cache "
            f"{datasets.config.HF_DATASETS_CACHE}. Registered: "
            f"{did_you_mean(path, plugins.names('dataset'))} Of the Hub, with a network: "
            f"hf download --repo-type dataset {path} --local-dir FOLDER, then data.path=FOLDER"
        ) from error


def _refuse_hub_settings(path: str, name: str | None, revision: str | None) -> None:
    for key, value in (("data.name", name), ("data.revision", revision)):
        if value is not None:
            raise DataError(
                f"{key}: only for data sets of the Hub, and {path} is none. Leave it out."
            )


def _from_datasets(name: str, dataset: Any) -> Iterator[Row]:
    yield from ((f"{name} row {i}", arrow_row(row)) for i, row in enumerate(dataset, 1))
