"""Tables that are made once from data and read ever after: STORE/tables/KIND/KEY/.

KEY names everything that changes the table. A table is made in a folder of its own and renamed
when it is whole, under a lock: who comes meanwhile, another process of the same run say, waits for
it and then reads it.
"""

import json
import logging
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tgdpo_core.errors import StoreError
from tgdpo_core.store.folder import canonical_hash

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 10  # before a word is said about waiting


def cached_table(
    root: Path, kind: str, document: Mapping[str, Any], make: Callable[[Path], None]
) -> Path:
    """Return the folder of a table, made if it is not there.

    Args:
        root: folder of the store.
        kind: what it is, a word.
        document: JSON of everything that decides its content.
        make: fills an empty folder.

    Raises:
        StoreError: the folder cannot be written.
    """
    folder = root / "tables" / kind / canonical_hash(document)
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _held(FileLock(folder.with_suffix(".lock")), folder):
            if not folder.is_dir():
                _make(folder, document, make)
    except OSError as error:
        raise StoreError(
            f"The table {folder} cannot be written: {error}. Make room, or name another folder "
            "with TGDPO_STORE=DIR."
        ) from error
    return folder


def _make(folder: Path, document: Mapping[str, Any], make: Callable[[Path], None]) -> None:
    staged = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.part")
    staged.mkdir()
    try:
        make(staged)
        (staged / "document.json").write_text(json.dumps(document, indent=1, sort_keys=True))
        staged.replace(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


class _held:
    """The lock of a table, with a word where another process holds it for long."""

    def __init__(self, lock: FileLock, folder: Path) -> None:
        self._lock, self._folder = lock, folder

    def __enter__(self) -> None:
        try:
            self._lock.acquire(timeout=_PATIENCE_SECONDS)
        except Timeout:
            logger.warning("Waiting for another process to make %s.", self._folder)
            began = time.monotonic()
            self._lock.acquire()
            logger.warning("Waited %.0f s.", _PATIENCE_SECONDS + time.monotonic() - began)

    def __exit__(self, *_: object) -> None:
        self._lock.release()
