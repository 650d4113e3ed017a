"""Where the values of a table's rows lie in a collection."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from tgdpo_core.errors import StoreError
from tgdpo_core.store.entry_index import Entry
from tgdpo_core.store.shards import Array, ShardDamaged

Damages = dict[int, tuple[ShardDamaged, set[bytes]]]
"""Number of a damaged shard to what is wrong with it, and the entries that have a wrong length."""


class Located(Sequence[torch.Tensor]):
    """The values of some entries, read from disk by row number when asked for.

    Args:
        read: returns the values of an entry, checked.
        found: [E] ``ENTRY``.
        who: how messages name the collection.

    Attributes:
        are_stored: [E] bool, which of the entries the collection has.
    """

    def __init__(self, read: Callable[[Entry], Array], found: Array, who: str) -> None:
        self._read = read
        self._found = found
        self._who = who
        self.are_stored: Array = found["shard"] >= 0

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, row: Any) -> Any:
        """Return the values of one entry, [n] float32.

        Raises:
            StoreError: they are missing, damaged or cannot be read.
        """
        entry = Entry(*self._found[row].item())
        if entry.shard < 0:
            raise StoreError(f"{self._who} lacks the values of row {row}.")
        try:
            return torch.from_numpy(self._read(entry))
        except ShardDamaged as damage:
            raise StoreError(
                f"{self._who}: shard {entry.shard} is damaged ({damage}). Start again: it is "
                "set aside then, and what it lacks is computed."
            ) from damage

    def take(self, rows: Sequence[int]) -> "Located":
        """Return the values of some rows."""
        return Located(self._read, self._found[np.asarray(rows, np.int64)], self._who)

    def damages(self, lengths: Sequence[int] | None) -> Damages:
        """Return the shards that hold entries which are not whole.

        Args:
            lengths: how many values each entry must have; None: any number.
        """
        found: Damages = {}
        rows = np.flatnonzero(self.are_stored)
        for row, numbers in zip(rows.tolist(), self._found[rows].tolist(), strict=True):
            entry = Entry(*numbers)
            if problem := self._damage(entry, lengths[row] if lengths else entry.length):
                damage, names = problem
                first, before = found.get(entry.shard, (damage, set()))
                found[entry.shard] = first, before | names
        return found

    def _damage(self, entry: Entry, length: int) -> tuple[ShardDamaged, set[bytes]] | None:
        try:
            self._read(entry)
        except ShardDamaged as damage:
            return damage, set()
        if entry.length == length:
            return None
        message = f"an entry has {entry.length} values, its response {length} tokens"
        return ShardDamaged(message), {entry.name}
