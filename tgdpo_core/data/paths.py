"""Which files ``data.path`` names: one, several, a pattern, or those of a folder."""

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from tgdpo_core.data.files import FILE_TYPES, file_type
from tgdpo_core.data.splits import is_part, require_whole
from tgdpo_core.errors import DataError, did_you_mean

_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "eval": "eval",
    "evaluation": "eval",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
}
_SAVED_BY_DATASETS = ("state.json", "dataset_dict.json")


def named_files(text: str) -> list[Path] | None:
    """Return the files that a text names: a file, a pattern, or several of them with commas.

    None: it names no file (a folder, a registered data set, a Hub id).

    Raises:
        DataError: a pattern that fits no file, or one of several that is not there.
    """
    whole = Path(text).expanduser()
    if whole.is_file():
        return [whole]
    if whole.exists():
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(parts) < 2:
        return _matching(text) if _is_pattern(text) else None
    found = [path for part in parts for path in _one_of_several(part)]
    if twice := next((path for path in found if found.count(path) > 1), None):
        raise DataError(f"{twice} is named twice (data.path).")
    return found


def labels(files: Sequence[Path]) -> list[str]:
    """Return names of files for messages: as short as tells them apart."""
    names = [path.name for path in files]
    if len(set(names)) == len(names):
        return names
    base = os.path.commonpath([path.absolute().parent for path in files])
    return [os.path.relpath(path.absolute(), base) for path in files]


def is_saved_dataset(folder: Path) -> bool:
    """Return whether a folder was saved by ``datasets``."""
    return any((folder / name).is_file() for name in _SAVED_BY_DATASETS)


def files_of_folder(folder: Path, split: str) -> list[Path]:
    """Return the data files of a folder: all, or those whose names say that they are the split.

    Raises:
        DataError: no file, several types (one data set in two forms?), or names of which some say a
            split and some do not.
    """
    files = _data_files(folder)
    if not files:
        raise DataError(
            f"{folder} (data.path) is not a folder saved by datasets.save_to_disk, and holds no "
            f"file that can be read ({', '.join(FILE_TYPES)}). {_below(folder)}".strip()
        )
    types = sorted({file_type(path) for path in files})
    if len(types) > 1:
        raise DataError(
            f"{folder} (data.path) holds files of several types ({', '.join(types)}). Name the "
            f"ones that are meant with a pattern, such as '{folder}/*{types[0]}'."
        )
    return _of_split(folder, files, split)


def says_splits(folder: Path) -> bool:
    """Return whether names of a folder's data files say of which split they are."""
    return any(_split_word(path) for path in _data_files(folder))


def _data_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".") and file_type(path) in FILE_TYPES
    )


def _of_split(folder: Path, files: Sequence[Path], split: str) -> list[Path]:
    words = {path: _split_word(path) for path in files}
    if not any(words.values()):
        require_whole(split, str(folder))
        return [*files]
    listed = ", ".join(path.name for path in files)
    if not all(words.values()):
        raise DataError(
            f"{folder} (data.path): some names say a split and some do not ({listed}). Name the "
            "files that are meant with a pattern or with commas."
        )
    if is_part(split):
        raise DataError(f"{folder} (data.path) holds several splits: name the files to take parts.")
    wanted = _SPLIT_WORDS.get(split, split)
    chosen = [path for path, word in words.items() if word == wanted]
    if not chosen:
        found = sorted({word for word in words.values() if word})
        raise DataError(f"{folder} has no split '{split}' ({listed}). {did_you_mean(split, found)}")
    return chosen


def _split_word(path: Path) -> str | None:
    words = re.split(r"[^a-z]+", path.name.split(".")[0].lower())
    found = {_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def _is_pattern(text: str) -> bool:
    return any(mark in text for mark in "*?[")


def _matching(pattern: str) -> list[Path]:
    found = glob.glob(os.path.expanduser(pattern), recursive=True)
    files = sorted(path for path in map(Path, found) if path.is_file())
    if not files:
        raise DataError(f"{pattern}: no file fits this pattern (data.path).")
    return files


def _one_of_several(part: str) -> list[Path]:
    path = Path(part).expanduser()
    if path.is_file():
        return [path]
    if _is_pattern(part):
        return _matching(part)
    raise DataError(
        f"{part}: no such file (data.path names several with commas). {siblings(path)}".strip()
    )


def siblings(path: Path) -> str:
    """Return a sentence with the data files beside a path that does not exist."""
    folder = path.parent
    if not folder.is_dir():
        return f"The folder {folder} does not exist either."
    files = [p.name for p in folder.iterdir() if file_type(p) in FILE_TYPES]
    return did_you_mean(path.name, files) if files else ""


def _below(folder: Path) -> str:
    """Return a hint where the files lie further down."""
    found = next((p for p in folder.rglob("*") if p.is_file() and file_type(p) in FILE_TYPES), None)
    return f"There are some in {found.parent}." if found else ""
