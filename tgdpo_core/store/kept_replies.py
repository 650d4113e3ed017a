"""Replies that were paid for, kept by what was asked: one SQLite file, every reply as it comes.

Whatever ends the process, also ``kill -9``, a reply is there the next time once ``add`` has
returned; a power cut may take the last ones, and damages nothing. Several processes of one machine
may use one file.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tgdpo_core.errors import StoreError
from tgdpo_core.secret_values import redacted
from tgdpo_core.store.folder import canonical_hash, default_store_path

_SECONDS_FOR_OTHERS = 60.0  # while another process writes
_FIRST = """CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, asked TEXT NOT NULL, reply TEXT NOT NULL
) WITHOUT ROWID"""


class KeptReplies:
    """Replies by what was asked. Opened, used and closed in one thread.

    Args:
        path: the file; a name without a folder lies in the store (``TGDPO_STORE``).

    Raises:
        StoreError: the file cannot be made or read.
    """

    def __init__(self, path: Path | str) -> None:
        path = Path(path).expanduser()
        self._path = path if path.parent != Path() else default_store_path() / path
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(self._path, timeout=_SECONDS_FOR_OTHERS)
            # A log that is synced now and then: one sync a reply would hold up the others.
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._base.execute(_FIRST)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"{self._path}: kept replies cannot be used: {error}. Move the file away to begin "
                "with none, or name another."
            ) from error

    @property
    def path(self) -> Path:
        """Where they are kept."""
        return self._path

    def get(self, asked: Mapping[str, Any]) -> Any:
        """Return the reply to what was asked, or None if it is not known."""
        query = "SELECT reply FROM replies WHERE key = ?"
        try:
            row = self._base.execute(query, (canonical_hash(asked),)).fetchone()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: cannot be read: {error}.") from error
        return json.loads(row[0]) if row else None

    def add(self, asked: Mapping[str, Any], reply: Any) -> None:
        """Keep a reply (JSON, not null); secrets in it are replaced by their names.

        Raises:
            StoreError: the disk is full or not writable.
        """
        self.add_all([(asked, reply)])

    def add_all(self, replies: Iterable[tuple[Mapping[str, Any], Any]]) -> None:
        """Keep replies in one step, which a disk does much faster than one by one; see ``add``."""
        values = [
            (canonical_hash(asked), redacted(json.dumps(asked)), redacted(json.dumps(reply)))
            for asked, reply in replies
        ]
        try:
            with self._base:
                self._base.executemany("INSERT OR REPLACE INTO replies VALUES (?, ?, ?)", values)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: a reply cannot be kept: {error}.") from error

    def close(self) -> None:
        """Close the file."""
        self._base.close()
