"""A data set opened as a table of rows: files are read once, data sets map themselves."""

from pathlib import Path
from typing import Any

from tgdpo_core.data.paths import files_of_folder, is_saved_dataset, labels, named_files
from tgdpo_core.data.row_table import DatasetRows, JsonRows, ListedRows, RowTable, write_rows
from tgdpo_core.data.source_code import data_code
from tgdpo_core.data.sources import hub_dataset, load_rows, looks_local, saved_dataset
from tgdpo_core.data.splits import is_part
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.store.folder import file_hash
from tgdpo_core.store.tables import cached_table


def open_rows(
    path: str,
    *,
    split: str,
    plugins: PluginManager,
    store: Path,
    name: str | None = None,
    revision: str | None = None,
) -> RowTable:
    """Return the rows of a data set.

    Args:
        path: see ``sources.load_rows``.
        split: see there.
        plugins: where registered data sets are found.
        store: folder of the store, where the rows of files are kept in a form that can be mapped.
        name: configuration of a Hub data set.
        revision: branch, tag or commit of a Hub data set.

    Raises:
        DataError: nothing there, or not readable; the message names file and line.
    """
    settings: dict[str, Any] = {"plugins": plugins, "name": name, "revision": revision}
    if not plugins.has("dataset", path):
        folder = Path(path).expanduser()
        is_saved = folder.is_dir() and is_saved_dataset(folder)
        files = named_files(path)
        if files is None and folder.is_dir() and not is_saved:
            files = files_of_folder(folder, split)
        if files is not None:
            return _of_files(path, files, split, settings, store)
        if is_saved and not is_part(split) and name is None and revision is None:
            return DatasetRows(path, saved_dataset(folder, split), f"{folder.name} row {{1}}")
        if not (is_saved or folder.exists() or looks_local(path)):
            dataset = hub_dataset(path, split, plugins, name=name, revision=revision)
            return DatasetRows(path, dataset, f"{path} row {{1}}")
    return ListedRows(path, list(load_rows(path, split=split, **settings)))


def _of_files(
    path: str, files: list[Path], split: str, settings: dict[str, Any], store: Path
) -> RowTable:
    document = {
        "files": [
            [label, file_hash(file)] for label, file in zip(labels(files), files, strict=True)
        ],
        "split": split,
        "code": data_code(),
    }
    folder = cached_table(
        store,
        "rows",
        document,
        lambda staged: write_rows(load_rows(path, split=split, **settings), staged),
    )
    return JsonRows(path, folder, document)
