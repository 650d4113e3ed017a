"""What is done with a damaged shard: it is moved out of the way, what is whole in it is kept."""

import os
from collections.abc import Set
from pathlib import Path

from tgdpo_core.errors import StoreError
from tgdpo_core.store.entry_index import Entry, entries_of
from tgdpo_core.store.shards import (
    SET_ASIDE,
    Array,
    ShardDamaged,
    ShardReader,
    checksum,
    hold,
    read_index,
    shard_paths,
)


def set_aside(
    folder: Path, number: int, key: str, damage: Exception, unwanted: Set[bytes]
) -> list[tuple[bytes, Array]]:
    """Move a shard's files to ``set-aside/`` and return its whole entries, names and values.

    Args:
        folder: of the collection.
        number: of the shard.
        key: of the collection.
        damage: what is wrong with the shard.
        unwanted: entries that are left out even if they are whole.

    Raises:
        StoreError: another process is writing to the shard.
        OSError: the disk fails.
    """
    lock = hold(folder, number)
    if not lock:
        raise StoreError(
            f"{shard_paths(folder, number)[1]} is damaged ({damage}) and another process is "
            "writing to it. Wait until that has ended and start again."
        )
    with lock:
        whole = _whole_entries(folder, number, key, unwanted)
        target = folder / SET_ASIDE
        target.mkdir(exist_ok=True)
        stem = f"{number:06d}-{os.urandom(4).hex()}"
        for path in shard_paths(folder, number)[:2]:
            if path.exists():
                path.replace(target / f"{stem}{path.suffix}")
    return whole


def _whole_entries(
    folder: Path, number: int, key: str, unwanted: Set[bytes]
) -> list[tuple[bytes, Array]]:
    values, index, _ = shard_paths(folder, number)
    try:
        records = read_index(index, key)
    except ShardDamaged:
        return []
    reader = ShardReader(values)
    whole = []
    for numbers in entries_of(records, number).tolist():
        entry = Entry(*numbers)
        try:
            found = reader(entry.offset, entry.length)
        except ShardDamaged:
            continue
        if checksum(key, entry.name, found) == entry.checksum and entry.name not in unwanted:
            whole.append((entry.name, found))
    return whole
