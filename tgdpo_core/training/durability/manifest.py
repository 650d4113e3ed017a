"""The list of a folder's files with size and hash: whether it is whole is read, not guessed."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tgdpo_core.errors import CheckpointError
from tgdpo_core.store.folder import canonical_hash, file_hash

MANIFEST = "manifest.json"
FORMAT = 1
# Files that a loader could take in place of those that were saved.
_LOADED = (".safetensors", ".bin", ".pt", ".pth", ".json", ".distcp")


def seal(folder: Path, facts: Mapping[str, Any]) -> None:
    """Put everything in a folder on the disk, then write its manifest.

    Args:
        folder: complete but for the manifest.
        facts: JSON kept in the manifest (step, versions).
    """
    files = {}
    for path in _files(folder):
        fsync(path)
        files[_name(path, folder)] = {"size": path.stat().st_size, "xxh3": file_hash(path)}
    document = {"format": FORMAT, **facts, "files": files}
    document["checksum"] = canonical_hash(document)
    target = folder / MANIFEST
    target.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    fsync(target)
    for place in {path.parent for path in _files(folder)}:
        fsync(place)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a folder's manifest.

    Raises:
        CheckpointError: there is none, or it is damaged or of a later version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise CheckpointError(f"{MANIFEST} is missing: it was not written to the end")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        stated = document.pop("checksum", None)
        if stated != canonical_hash(document):
            raise CheckpointError(f"{MANIFEST} is damaged")
        if document["format"] > FORMAT:
            raise CheckpointError(
                f"{MANIFEST} has format {document['format']}, written by a later tgdpo; this one "
                f"reads up to {FORMAT}"
            )
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{MANIFEST} cannot be read ({type(error).__name__})") from error
    result: dict[str, Any] = document
    return result


def damage(folder: Path) -> list[str]:
    """Return what is wrong with a sealed folder, a line each; nothing if it is whole.

    Every file is read.
    """
    try:
        stated = read_manifest(folder)["files"]
    except CheckpointError as error:
        return [str(error)]
    found = [line for name, entry in stated.items() if (line := _wrong(folder / name, name, entry))]
    names = (_name(path, folder) for path in _files(folder))
    return found + [
        f"{name} was not saved with it"
        for name in names
        if name not in stated and name != MANIFEST and name.endswith(_LOADED)
    ]


def fsync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _wrong(path: Path, name: str, entry: Mapping[str, Any]) -> str | None:
    try:
        if not path.is_file():
            return f"{name} is missing"
        size = path.stat().st_size
        if size != entry["size"]:
            return f"{name} has {size} bytes, {entry['size']} were saved"
        return None if file_hash(path) == entry["xxh3"] else f"{name} differs from what was saved"
    except OSError as error:
        return f"{name} cannot be read ({error})"


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
