"""Names of models as names of files and folders."""

import re
from collections.abc import Sequence

LONGEST_NAME = 200
"""Bytes of a model's name in those of files: file systems take 255, and endings come to it."""

_UNSAFE = re.compile(r"[^\w .,+=@()-]")


def folder_names(names: Sequence[str]) -> list[str]:
    """Return the name of a folder for each name: inside its parent, another for each.

    A slash becomes two underscores, what else a file system may refuse one; a name that would be
    the same as one before it (small and capital letters are) is numbered.
    """
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        safe = _safe(name)
        numbered = (f"{safe}-{number}" for number in range(2, len(names) + 2))
        free = next(each for each in (safe, *numbered) if each.casefold() not in taken)
        taken.add(free.casefold())
        found.append(free)
    return found


def _safe(name: str) -> str:
    """Return a name without what leads out of a folder, hides it, or is too long."""
    text = _UNSAFE.sub("_", name.replace("/", "__")).strip()
    text = text.encode()[:LONGEST_NAME].decode(errors="ignore").rstrip(" .")
    return text if text and not text.startswith(".") else f"_{text}"
