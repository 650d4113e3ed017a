"""The content-addressed store of per-token values.

    STORE/KEY/key.json            the document whose hash is KEY
    STORE/KEY/NNNNNN.*            shards (see ``shards``), and one sorted index over them in memory
    STORE/KEY/set-aside/          damaged shards, for whoever wants to look

KEY names everything that changes the values (model weights, dtype, plugin and options, ...) but
the token ids; each entry within is named by the hash of its own ids and inputs. Entries are only
ever added, as soon as they are known, so a process that ends for whatever reason loses none, and
several processes may fill a collection at once. Only what fails its checksum or its format is set
aside; an error of the disk stops.
"""

import json
import logging
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tgdpo_core.errors import StoreError
from tgdpo_core.store.entry_index import ENTRY, Entry, entries_of, find, sorted_by_name
from tgdpo_core.store.folder import canonical_hash, with_format, write_whole
from tgdpo_core.store.located import Located
from tgdpo_core.store.set_aside import set_aside
from tgdpo_core.store.shards import (
    SET_ASIDE,
    Array,
    ShardDamaged,
    ShardReader,
    ShardWriter,
    checksum,
    open_writer,
    read_index,
    shard_numbers,
    shard_paths,
)

logger = logging.getLogger(__name__)

_MOST_RECENT = 65_536  # entries of this process that are not yet sorted in


class Collection:
    """The stored values under one key.

    Args:
        root: folder of the store.
        document: JSON of everything that changes the values.

    Raises:
        StoreError: the folder cannot be made or read.
    """

    def __init__(self, root: Path, document: Mapping[str, Any]) -> None:
        full = with_format(document)
        self.key = canonical_hash(full)
        self.folder = root / self.key
        self._writer: ShardWriter | None = None
        self._readers: dict[int, ShardReader] = {}
        self._seen: dict[int, int] = {}  # records of each shard that are in the index
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / "key.json").exists():
                write_whole(self.folder / "key.json", json.dumps(full, indent=1, sort_keys=True))
        except OSError as error:
            raise StoreError(
                f"The store at {root} cannot be written: {error}. "
                "Name another folder with TGDPO_STORE=DIR."
            ) from error
        self._sorted = sorted_by_name([])
        self._recent: dict[bytes, Any] = {}
        self.refresh()

    # -- looking up -------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many entries are stored."""
        return len(self._sorted) + len(self._recent)

    def __contains__(self, entry: bytes) -> bool:
        """Whether the values of an entry are stored."""
        return self.locate([entry]).are_stored[0].item()

    def __getitem__(self, entry: bytes) -> torch.Tensor:
        """Return an entry's values, [n] float32.

        Raises:
            KeyError: there are none.
            StoreError: they are damaged or cannot be read.
        """
        located = self.locate([entry])
        if not located.are_stored[0]:
            raise KeyError(entry)
        return located[0]

    def entries(self) -> list[Entry]:
        """Return every entry once."""
        recent = [Entry(*entry) for entry in self._recent.values()]
        found = [*(Entry(*entry) for entry in self._sorted.tolist()), *recent]
        return list({entry.name: entry for entry in found}.values())

    def locate(self, entries: Sequence[bytes] | Array) -> Located:
        """Return where the values of entries lie, for reading them by row number.

        Args:
            entries: names, 16 bytes each, or [E, 16] uint8.
        """
        joined = entries if isinstance(entries, np.ndarray) else b"".join(entries)
        names = np.frombuffer(joined, "<u8").reshape(-1, 2)
        found = find(self._sorted, names)
        if self._recent:
            for row in np.flatnonzero(found["shard"] < 0):
                found[row] = self._recent.get(names[row].tobytes(), found[row])
        return Located(self.read, found, f"The collection {self.folder}")

    def refresh(self) -> bool:
        """Look at what other processes have added; return whether there was anything new.

        Raises:
            StoreError: the disk fails; nothing is changed.
        """
        try:
            numbers = shard_numbers(self.folder)
            if self._seen.keys() - set(numbers):  # another process has set a shard aside
                self._seen, self._sorted, self._recent = {}, sorted_by_name([]), {}
            new = [self._new_entries(number) for number in numbers]
        except OSError as error:
            raise self._unreadable(error) from error
        if not (total := sum(len(part) for part in new)):
            return False
        if total + len(self._recent) > _MOST_RECENT:
            self._sort_in(*new)
        else:
            self._recent |= {Entry(*e).name: e for part in new for e in part.tolist()}
        return True

    def _sort_in(self, *new: Array) -> None:
        recent = np.array(list(self._recent.values()), ENTRY)
        self._sorted = sorted_by_name([self._sorted, recent, *new])
        self._recent = {}

    def _new_entries(self, number: int) -> Array:
        """Return the entries of a shard that were not seen before.

        There are none of a shard that had to be set aside: what is whole in it is added anew.
        """
        seen = self._seen.get(number, 0)
        try:
            records = read_index(shard_paths(self.folder, number)[1], self.key, start=seen)
        except ShardDamaged as damage:
            self._set_aside(number, damage)
            return sorted_by_name([])
        self._seen[number] = seen + len(records)
        return entries_of(records, number)

    # -- adding -----------------------------------------------------------------------------------

    def add(self, entries: Sequence[bytes], values: Sequence[torch.Tensor]) -> None:
        """Store the values ([n] float32 each) of several entries.

        Raises:
            StoreError: the disk is full or not writable; what was stored before is kept.
        """
        names = [bytes(entry) for entry in entries]
        arrays = [v.detach().to("cpu", torch.float32).contiguous().numpy() for v in values]
        try:
            writer = self._open_writer()
            records = writer.append(names, arrays)
        except OSError as error:
            raise StoreError(
                f"The store at {self.folder} cannot be written: {error}. What was stored before is "
                "kept. Make room, or name another folder with TGDPO_STORE=DIR."
            ) from error
        self._seen[writer.number] = self._seen.get(writer.number, 0) + len(records)
        added = entries_of(records, writer.number)
        self._recent |= dict(zip(names, added.tolist(), strict=True))
        if len(self._recent) > _MOST_RECENT:
            self._sort_in(sorted_by_name([]))

    def close(self) -> None:
        """Have the disk keep what was added, and let other processes add to the same shard."""
        if self._writer:
            self._writer.close()
            self._writer = None

    def __del__(self) -> None:
        """Close what was left open."""
        if getattr(self, "_writer", None):
            self.close()

    def _open_writer(self) -> ShardWriter:
        if self._writer and self._writer.is_full:
            self.close()
        if not self._writer:
            self._writer = open_writer(self.folder, self.key)
            self.refresh()  # others may have added to the shard before it was ours
            return self._open_writer()
        return self._writer

    def set_aside_whole(self) -> Path:
        """Move everything stored under the key out of the way; return where it is."""
        self.close()
        self._readers = {}
        number = 0
        while (place := self.folder.parent / SET_ASIDE / f"{self.key}-{number}").exists():
            number += 1
        place.parent.mkdir(exist_ok=True)
        self.folder.rename(place)
        self._seen, self._sorted, self._recent = {}, sorted_by_name([]), {}
        return place

    # -- damage -----------------------------------------------------------------------------------

    def read(self, entry: Entry) -> Array:
        """Return the values of an entry, [n] float32, checked against its name and the key.

        Raises:
            ShardDamaged: they are not what was stored.
            StoreError: the disk fails.
        """
        if entry.shard not in self._readers:
            self._readers[entry.shard] = ShardReader(shard_paths(self.folder, entry.shard)[0])
        try:
            values = self._readers[entry.shard](entry.offset, entry.length)
        except OSError as error:
            raise self._unreadable(error) from error
        if checksum(self.key, entry.name, values) != entry.checksum:
            raise ShardDamaged("a checksum does not match")
        return values

    def verified(self, entries: Sequence[bytes] | Array, lengths: Sequence[int] | None) -> Array:
        """Return which entries are stored whole, [E] bool; damaged shards are set aside.

        What is whole in a damaged shard stays in the collection.

        Args:
            entries: names.
            lengths: how many values each must have; None: any number.

        Raises:
            StoreError: the disk fails; nothing is set aside.
        """
        located = self.locate(entries)
        damages = located.damages(lengths)
        if not damages:
            return located.are_stored
        for number, (damage, unwanted) in damages.items():
            self._set_aside(number, damage, unwanted)
        self.refresh()
        return self.locate(entries).are_stored

    def _set_aside(
        self, number: int, damage: Exception, unwanted: Set[bytes] = frozenset()
    ) -> None:
        self.close()
        self._readers.pop(number, None)
        whole = set_aside(self.folder, number, self.key, damage, unwanted)
        logger.warning(
            "Shard %s is damaged (%s). It was moved to %s; %d of its entries are whole and kept, "
            "the others are computed again.",
            self.folder / f"{number:06d}",
            damage,
            self.folder / SET_ASIDE,
            len(whole),
        )
        if whole:
            self.add([name for name, _ in whole], [torch.from_numpy(v) for _, v in whole])

    def _unreadable(self, error: OSError) -> StoreError:
        return StoreError(
            f"The store at {self.folder} cannot be read: {error}. Nothing was changed; mend the "
            "cause and start again, or name another folder with TGDPO_STORE=DIR."
        )
