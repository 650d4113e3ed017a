"""Folders that hold a model and no more: what may be replaced by another one."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tgdpo_core.errors import UsageError

_SUFFIXES = (".json", ".safetensors", ".jinja", ".model")  # of what a model and a tokenizer save
_NAMES = ("vocab.txt", "merges.txt", "README.md")
_MOST_SHOWN = 4


def require_replaceable(folder: Path, is_ours: Callable[[Path], bool], what: str) -> None:
    """Raise ``UsageError`` unless a folder is new or empty, or holds a model of ours and no more.

    Args:
        folder: what would be replaced.
        is_ours: whether a folder that is not empty holds such a model.
        what: how messages name one.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder. Give another --output-dir.")
    found = sorted(folder.iterdir())
    if found and not is_ours(folder):
        raise UsageError(
            f"{folder} is not empty: it holds {_listed(found)} and no {what}, which would replace "
            "all of it. Give a new or empty --output-dir."
        )
    foreign = [path for path in found if not _is_of_a_model(path)]
    if foreign:
        raise UsageError(
            f"{folder} holds {_listed(foreign)} beside a {what}, which would be lost. Move that "
            "elsewhere, or give another --output-dir."
        )


@contextlib.contextmanager
def replaced(folder: Path, require: Callable[[], None]) -> Iterator[Path]:
    """Give a folder beside another one, and move it there when it is filled.

    What is stopped leaves what was there before.

    Args:
        folder: what is replaced.
        require: raises if that may not be; asked when the new one is filled.
    """
    staged = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(staged, ignore_errors=True)  # of a process that was killed
    staged.mkdir(parents=True)
    try:
        yield staged
        require()
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(staged, folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _listed(paths: Sequence[Path]) -> str:
    more = ", .." if len(paths) > _MOST_SHOWN else ""
    return ", ".join(path.name for path in paths[:_MOST_SHOWN]) + more


def _is_of_a_model(path: Path) -> bool:
    is_named = path.suffix in _SUFFIXES or path.name in _NAMES
    return is_named and path.is_file() and not path.is_symlink()
