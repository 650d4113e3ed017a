"""What a store holds: its collections with sizes and documents, what is damaged, what may go.

Reads files only; neither models nor torch are needed.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tgdpo_core.errors import StoreError, UsageError, did_you_mean
from tgdpo_core.store.entry_index import Entry, entries_of
from tgdpo_core.store.folder import FORMAT, json_object
from tgdpo_core.store.shards import (
    SET_ASIDE,
    ShardDamaged,
    ShardReader,
    checksum,
    read_index,
    shard_numbers,
    shard_paths,
)


@dataclass(frozen=True)
class CollectionInfo:
    """One collection of a store.

    Attributes:
        key: its name.
        path: its folder.
        document: JSON of everything that changes its values; empty if it cannot be read.
        num_entries: entries, repeated names counted.
        num_bytes: size on disk.
        set_aside_bytes: of damaged shards.
        last_written: seconds since 1970.
    """

    key: str
    path: Path
    document: Mapping[str, Any]
    num_entries: int
    num_bytes: int
    set_aside_bytes: int
    last_written: float

    @property
    def is_readable(self) -> bool:
        """Whether this version reads its format."""
        return self.document.get("format") == FORMAT

    @property
    def what(self) -> str:
        """What its values are, in few words."""
        plugin = self.document.get("plugin")
        name = plugin.get("name") if isinstance(plugin, Mapping) else None
        kind = str(self.document.get("kind", "unknown"))
        if kind == "answers":
            name = self.document.get("engine")
        return f"{kind}: {name}" if name else kind

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "key": self.key,
            "what": self.what,
            "entries": self.num_entries,
            "bytes": self.num_bytes,
            "set_aside_bytes": self.set_aside_bytes,
            "last_written": self.last_written,
            "readable": self.is_readable,
        }


def list_collections(root: Path) -> list[CollectionInfo]:
    """Return the collections of a store, the one written last first.

    Raises:
        StoreError: the folder cannot be read.
    """
    try:
        folders = [path.parent for path in root.glob("*/key.json")]
        found = [_info(folder) for folder in folders]
    except OSError as error:
        raise StoreError(f"The store at {root} cannot be read: {error}.") from error
    return sorted(found, key=lambda info: -info.last_written)


def find_collection(root: Path, key: str) -> CollectionInfo:
    """Return the collection whose key begins with ``key``.

    Raises:
        UsageError: there is none, or more than one.
    """
    collections = list_collections(root)
    found = [info for info in collections if info.key.startswith(key)]
    if len(found) == 1:
        return found[0]
    if not found:
        hint = did_you_mean(key, (info.key for info in collections))
        raise UsageError(f"The store at {root} has no collection '{key}'. {hint}")
    raise UsageError(f"'{key}' is not one key: {', '.join(info.key for info in found)}.")


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return where two documents differ: dotted name, value here, value there (None: absent)."""
    a, b = dict(_flat(one)), dict(_flat(other))
    return [(n, a.get(n), b.get(n)) for n in sorted(a.keys() | b.keys()) if a.get(n) != b.get(n)]


@dataclass(frozen=True)
class Verification:
    """What was read of a collection, and what of it is not whole.

    Attributes:
        num_entries: entries that were read.
        damage: number of a shard, and what is wrong with it; one for each damaged entry.
    """

    num_entries: int
    damage: Sequence[tuple[int, str]]


def verify(info: CollectionInfo, progress: Callable[[int], object]) -> Verification:
    """Read every value of a collection and compare its checksum; nothing is changed.

    Args:
        info: of a readable collection.
        progress: is told the bytes that were read since the last call.

    Raises:
        StoreError: the disk fails.
    """
    damage: list[tuple[int, str]] = []
    num_entries = 0
    try:
        for number in shard_numbers(info.path):
            values, index, _ = shard_paths(info.path, number)
            try:
                records = read_index(index, info.key)
            except ShardDamaged as error:
                damage.append((number, str(error)))
                continue
            reader = ShardReader(values)
            for numbers in entries_of(records, number).tolist():
                entry = Entry(*numbers)
                num_entries += 1
                if problem := _problem(entry, reader, info.key):
                    damage.append((number, problem))
                progress(4 * entry.length)
    except OSError as error:
        raise StoreError(f"The store at {info.path} cannot be read: {error}.") from error
    return Verification(num_entries, damage)


def _problem(entry: Entry, reader: ShardReader, key: str) -> str:
    try:
        values = reader(entry.offset, entry.length)
    except ShardDamaged as error:
        return str(error)
    return "" if checksum(key, entry.name, values) == entry.checksum else "a checksum is wrong"


def keys_of_runs(folders: Sequence[Path]) -> set[str]:
    """Return the keys that runs have used: of run folders, or of all below a folder.

    Raises:
        UsageError: there is no run.
        StoreError: a run.json is damaged; its keys must not be taken for none.
    """
    keys: set[str] = set()
    for folder in folders:
        records = [*folder.rglob("run.json")]
        if not records:
            raise UsageError(f"{folder} holds no run (no run.json in it or below).")
        for record in records:
            keys |= _keys_in(record)
    return keys


def _keys_in(record: Path) -> set[str]:
    """Return the keys that a run.json names; none where the run has not come to the store yet."""
    try:
        passes = json_object(record.read_text("utf-8")).get("store", {}).get("passes", {})
        return {_text(each["key"]) for each in passes.values()}
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise StoreError(
            f"{record} cannot be read ({error}): which values its run uses is not known. Mend it, "
            "or move that run away."
        ) from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a key is {value!r}")
    return value


def remove(info: CollectionInfo) -> None:
    """Delete a collection.

    Raises:
        StoreError: that fails.
    """
    try:
        shutil.rmtree(info.path)
    except OSError as error:
        raise StoreError(f"{info.path} cannot be removed: {error}.") from error


def _info(folder: Path) -> CollectionInfo:
    try:
        document = json_object((folder / "key.json").read_text("utf-8"))
    except ValueError:
        document = {}
    files = [path for path in folder.rglob("*") if path.is_file()]
    aside = [path for path in files if SET_ASIDE in path.relative_to(folder).parts]
    return CollectionInfo(
        key=folder.name,
        path=folder,
        document=document,
        num_entries=_num_entries(folder) if document.get("format") == FORMAT else 0,
        num_bytes=sum(path.stat().st_size for path in files),
        set_aside_bytes=sum(path.stat().st_size for path in aside),
        last_written=max(path.stat().st_mtime for path in files),
    )


def _num_entries(folder: Path) -> int:
    sizes = [shard_paths(folder, number)[1].stat().st_size for number in shard_numbers(folder)]
    return int(np.maximum(np.array(sizes, int) // 40 - 1, 0).sum())


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
