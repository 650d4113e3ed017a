"""One run folder, one process: a lock that dies with its holder, and says who that is."""

import contextlib
import datetime
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tgdpo_core.errors import UsageError
from tgdpo_core.store.folder import json_object

LOCK = ".lock"
HOLDER = ".lock.json"


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process; the operating system frees it if the process dies.

    Raises:
        UsageError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=1)  # others look for a moment whether it is held
    except Timeout:
        raise UsageError(
            f"{folder} is in use by {described(holder(folder))}. Wait for it, stop it, or choose "
            "another --output-dir."
        ) from None
    try:
        (folder / HOLDER).write_text(json.dumps(this_process()), encoding="utf-8")
        yield
    finally:
        # The lock file stays: removed, it could be locked twice, under its old and a new name.
        with contextlib.suppress(OSError):
            (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def is_held(folder: Path) -> bool:
    """Return whether a process holds the folder now."""
    if not (folder / LOCK).exists():
        return False
    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # a folder that this user may only read
        return False
    lock.release()
    return False


def holder(folder: Path) -> dict[str, Any]:
    """Return what the holder wrote about itself; empty if that cannot be read."""
    try:
        return json_object((folder / HOLDER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def this_process() -> dict[str, Any]:
    """Return pid, host and time, for run.json and for others who find the folder held."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": now}


def described(process: Any) -> str:
    """Return a phrase for a process, as far as what was written about it says who it is."""
    if not process or not isinstance(process, dict):
        return "another process"
    return f"process {process.get('pid')} on {process.get('host')} (since {process.get('since')})"
