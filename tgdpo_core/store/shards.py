"""One shard of a collection: values are appended to one file, what they are to another.

    NNNNNN.values   float32, little endian, one entry after the other
    NNNNNN.index    a header of 40 bytes (format, key of the collection), then a record an entry

A record is written after its values, so a process that is killed loses at most the entry it was
writing. Each record's checksum covers the collection's key, the entry's name and its values: values
under another key, or another name, do not pass for these.

One process writes to a shard at a time; a lock says which. Others may read it meanwhile.
"""

import itertools
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from filelock import FileLock, Timeout

MAX_BYTES = 256 * 2**20  # of values; a shard that has more gets no further entry
SET_ASIDE = "set-aside"  # the folder of damaged shards
RECORD = np.dtype(
    [
        ("high", "<u8"),  # the entry's 16-byte name
        ("low", "<u8"),
        ("offset", "<u8"),  # counted in values
        ("length", "<u8"),
        ("checksum", "<u8"),
    ]
)
_MAGIC = b"tgdpo store v2\0\0"
_SECONDS_BETWEEN_SYNCS = 30
Array = np.ndarray[Any, Any]


class ShardDamaged(Exception):
    """A shard's files do not hold what they should; never raised for an error of the disk."""


def checksum(key: str, name: bytes, values: Array) -> int:
    """Return the xxh3-64 of a collection's key, an entry's name and its values."""
    digest = xxhash.xxh3_64(key.encode() + name)
    digest.update(values.data)
    return digest.intdigest()


def shard_numbers(folder: Path) -> list[int]:
    """Return the numbers of a folder's shards, in order."""
    names = (path.stem for path in folder.glob("*.index"))
    return sorted(int(name) for name in names if name.isdecimal())


def shard_paths(folder: Path, number: int) -> tuple[Path, Path, Path]:
    """Return where a shard keeps its values, its index and its lock."""
    stem = f"{number:06d}"
    return folder / f"{stem}.values", folder / f"{stem}.index", folder / f"{stem}.lock"


def read_index(path: Path, key: str, *, start: int = 0) -> Array:
    """Return the records of a shard from ``start`` on; one that is half written is left out.

    Raises:
        ShardDamaged: the header is another format's or another collection's.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        header = file.read(RECORD.itemsize)
        if len(header) < RECORD.itemsize:  # its writer is about to begin
            return np.empty(0, RECORD)
        if header != _header(key):
            raise ShardDamaged("its header is not that of this collection")
        file.seek(RECORD.itemsize * (1 + start))
        data = file.read()
    return np.frombuffer(data[: len(data) // RECORD.itemsize * RECORD.itemsize], RECORD)


class ShardReader:
    """The values of a shard, memory-mapped; mapped again when the file has grown."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: Array = np.empty(0, "<f4")

    def __call__(self, offset: int, length: int) -> Array:
        """Return a copy of some values, [length] float32.

        Raises:
            ShardDamaged: the file is shorter than that.
            OSError: it cannot be read.
        """
        end = offset + length
        size = self._path.stat().st_size // 4 if end > len(self._values) else 0
        if size > len(self._values):
            self._values = np.memmap(self._path, "<f4", mode="r", shape=(size,))
        if end > len(self._values):
            raise ShardDamaged("its values are cut off")
        return np.array(self._values[offset:end])


class ShardWriter:
    """The end of a shard, held by this process until ``close``."""

    def __init__(self, folder: Path, number: int, key: str, lock: FileLock) -> None:
        self.number = number
        self._key = key
        self._lock = lock
        values, index, _ = shard_paths(folder, number)
        flags = os.O_RDWR | os.O_CREAT
        # Readable by others: a group may share the store.
        self._values = os.open(values, flags, 0o644)
        self._index = os.open(index, flags, 0o644)
        self._num_values = -(-os.fstat(self._values).st_size // 4)
        size = os.fstat(self._index).st_size
        if size < RECORD.itemsize:
            _write(self._index, _header(key), 0)
            size = RECORD.itemsize
        self._num_records = size // RECORD.itemsize - 1
        self._synced = time.monotonic()

    @property
    def is_full(self) -> bool:
        """Whether further entries belong into another shard."""
        return 4 * self._num_values >= MAX_BYTES

    def append(self, names: list[bytes], values: list[Array]) -> Array:
        """Write entries and return their records.

        Raises:
            OSError: the disk is full or fails; the entries that were there stay as they were.
        """
        records = np.zeros(len(names), RECORD)
        offset = self._num_values
        for record, name, each in zip(records, names, values, strict=True):
            record["high"], record["low"] = np.frombuffer(name, "<u8")
            record["offset"], record["length"] = offset, len(each)
            record["checksum"] = checksum(self._key, name, each)
            offset += len(each)
        _write(self._values, b"".join(each.tobytes() for each in values), 4 * self._num_values)
        place = RECORD.itemsize * (1 + self._num_records)
        _write(self._index, records.tobytes(), place)
        self._num_values, self._num_records = offset, self._num_records + len(names)
        if time.monotonic() - self._synced > _SECONDS_BETWEEN_SYNCS:
            self.sync()
        return records

    def sync(self) -> None:
        """Have the disk keep what was written, values before their records."""
        os.fsync(self._values)
        os.fsync(self._index)
        self._synced = time.monotonic()

    def close(self) -> None:
        """Let go of the shard; it is whole at any time."""
        self.sync()
        os.close(self._values)
        os.close(self._index)
        self._lock.release()


def open_writer(folder: Path, key: str) -> ShardWriter:
    """Return a shard to add to: the first with room that no process holds, else a new one.

    Raises:
        OSError: the folder cannot be written.
    """
    numbers = shard_numbers(folder)
    for number in numbers:
        if _has_room(folder, number, key) and (lock := hold(folder, number)):
            return ShardWriter(folder, number, key, lock)
    for number in itertools.count(_next_number(folder, numbers)):
        if lock := hold(folder, number):
            if not shard_paths(folder, number)[1].exists():
                return ShardWriter(folder, number, key, lock)
            lock.release()  # another process was faster
    raise AssertionError("there is always a next number")


def _next_number(folder: Path, numbers: Sequence[int]) -> int:
    """Return a number that no shard has or had: readers remember how far they have read."""
    gone = (path.name.partition("-")[0] for path in (folder / SET_ASIDE).glob("*.index"))
    return 1 + max([*numbers, *(int(name) for name in gone if name.isdecimal())], default=-1)


def hold(folder: Path, number: int) -> FileLock | None:
    """Return the lock of a shard, taken; None if another process (or part of this one) has it."""
    lock = FileLock(shard_paths(folder, number)[2], thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


def _has_room(folder: Path, number: int, key: str) -> bool:
    """Whether a shard may grow: not full, and its files fit each other."""
    values, index, _ = shard_paths(folder, number)
    size = values.stat().st_size if values.exists() else 0
    if size >= MAX_BYTES:
        return False
    try:
        records = read_index(index, key)
    except ShardDamaged:
        return False
    return not len(records) or 4 * int((records["offset"] + records["length"]).max()) <= size


def _header(key: str) -> bytes:
    return (_MAGIC + key.encode())[: RECORD.itemsize].ljust(RECORD.itemsize, b"\0")


def _write(file: int, data: bytes, place: int) -> None:
    """Write all of ``data``; a short write is what a full disk does before it says so."""
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, place)
        view, place = view[written:], place + written
