"""The commands of plugins as they were when plugins were last loaded: `--help` loads none.

STORE/commands.json holds them with a mark of what is installed: the times of the folders that
Python imports from. Where the mark differs, something may have been installed or removed since.
"""

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_CHOICES = ("TGDPO_LOAD_PLUGINS", "TGDPO_BLOCK_PLUGINS")
Noted = tuple[str, str, str]
"""Name, line of help, and where it comes from."""


def note_commands(commands: Sequence[Noted]) -> None:
    """Keep the commands; a folder that cannot be written is no matter."""
    from tgdpo_core.store.folder import write_whole

    with contextlib.suppress(OSError):
        path = notes_folder() / "commands.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps({"installed": installed_mark(), "commands": list(commands)}))


def noted_commands() -> list[Noted] | None:
    """Return the commands as they were noted; None where something was installed since."""
    try:
        document = json.loads((notes_folder() / "commands.json").read_text(encoding="utf-8"))
        if document["installed"] != installed_mark():
            return None
        return sorted(
            (str(n), str(summary), str(where)) for n, summary, where in document["commands"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def notes_folder() -> Path:
    """Return the folder of the store, in which notes of what is installed lie."""
    # As in tgdpo_core.store.folder, which --help has no time to import.
    if named := os.environ.get("TGDPO_STORE"):
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "tgdpo" / "store"


def installed_mark() -> list[list[str]]:
    """Return a mark of what is installed and chosen."""
    here = os.getcwd()
    # The first folder is that of the script, or the current one.
    folders = [path for path in sys.path[1:] if path and path != here and os.path.isdir(path)]
    times = [[path, str(os.stat(path).st_mtime_ns)] for path in folders]
    return [*times, *([name, os.environ.get(name, "-")] for name in _CHOICES)]
