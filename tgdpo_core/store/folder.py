"""Where the store lies, and how its things are named."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

from tgdpo_core.progress import StageBar

FORMAT = 2  # of collections
_BLOCK = 16 * 2**20


def default_store_path() -> Path:
    """Return ``$TGDPO_STORE``, else ``tgdpo/store`` in the user's cache folder."""
    if named := os.environ.get("TGDPO_STORE"):
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "tgdpo" / "store"


def with_format(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a collection's document as its key is the hash of."""
    return {"format": FORMAT, **document}


def canonical_hash(document: Mapping[str, Any]) -> str:
    """Return 24 hex digits of the sha256 of canonical JSON.

    Raises:
        TypeError: a value that JSON does not have.
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def file_hash(path: Path) -> str:
    """Return the xxh3-128 hex digest of a file."""
    digest = xxhash.xxh3_128()
    size = path.stat().st_size
    bar = StageBar(total=size, desc=f"hashing {path.name}", unit="B", unit_scale=True, leave=False)
    with path.open("rb") as file, bar:
        while block := file.read(_BLOCK):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


def json_object(text: str) -> dict[str, Any]:
    """Return what a JSON text holds.

    Raises:
        ValueError: it is no JSON, or not an object.
    """
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"holds {type(found).__name__}, no object")
    return found


def write_whole(path: Path, text: str) -> None:
    """Write a file in one step: readers see all of it or nothing."""
    staged = path.with_name(f".{path.name}.{os.getpid()}.part")
    staged.write_text(text, encoding="utf-8")
    staged.replace(path)
