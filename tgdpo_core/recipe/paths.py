"""What no path can be, on any file system that runs this."""

import os
from pathlib import Path

_LONGEST_NAME = 255  # bytes of one part of a path
_LONGEST_PATH = 4095


def check_path(key: str, path: str) -> None:
    """Raise ``ValueError`` for a path that no file can have.

    Args:
        key: of the recipe, for the message.
        path: what it holds.
    """
    if not path.strip():
        raise ValueError(f"{key} is empty")
    if "\0" in path:
        raise ValueError(f"{key} holds a NUL character")
    try:
        os.fsencode(path)
        Path(path).expanduser()
    except UnicodeEncodeError:
        raise ValueError(f"{key} holds a character that no file name can have") from None
    except RuntimeError:
        raise ValueError(f"{key}: {path[:40]} names the home of a user who is not here") from None
    longest = max(len(part.encode("utf-8", "surrogatepass")) for part in path.split("/"))
    if longest > _LONGEST_NAME or len(path.encode("utf-8", "surrogatepass")) > _LONGEST_PATH:
        raise ValueError(
            f"{key} is too long for a file: a name has at most {_LONGEST_NAME} bytes, this one has "
            f"{longest} ({path[:40]!r}..)"
        )
