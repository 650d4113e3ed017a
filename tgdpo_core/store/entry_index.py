"""The sorted index of a collection: names of entries to the places of their values. Pure arrays."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tgdpo_core.store.shards import RECORD, Array

ENTRY = np.dtype([*RECORD.descr, ("shard", "<i8")])
"""A record and the number of its shard; -1 where there is none."""


def entries_of(records: Array, shard: int) -> Array:
    """Return the records of a shard as entries, [E] ``ENTRY``."""
    entries = np.empty(len(records), ENTRY)
    for name in RECORD.names or ():
        entries[name] = records[name]
    entries["shard"] = shard
    return entries


def sorted_by_name(parts: Sequence[Array]) -> Array:
    """Return entries sorted by name; of several with one name the last."""
    entries = np.concatenate([*parts, np.empty(0, ENTRY)])
    entries = entries[np.lexsort((entries["low"], entries["high"]))]
    is_last = np.ones(len(entries), bool)
    high, low = entries["high"], entries["low"]
    is_last[:-1] = (high[:-1] != high[1:]) | (low[:-1] != low[1:])
    return entries[is_last]


def find(entries: Array, names: Array) -> Array:
    """Return the entries of some names, [N] ``ENTRY``.

    Args:
        entries: sorted by name.
        names: [N, 2] uint64.
    """
    found = np.zeros(len(names), ENTRY)
    found["shard"] = -1
    if not len(entries):
        return found
    at = np.searchsorted(entries["high"], names[:, 0])
    while True:
        here = entries[np.minimum(at, len(entries) - 1)]
        same_high = (at < len(entries)) & (here["high"] == names[:, 0])
        is_found = same_high & (here["low"] == names[:, 1])
        found[is_found] = here[is_found]
        # On through those that share the first half of a name: hardly ever more than one.
        if not (same_high & ~is_found).any():
            return found
        at = at + (same_high & ~is_found)


class Entry(NamedTuple):
    """One entry of the index, in plain numbers; see ``shards.RECORD``."""

    high: int
    low: int
    offset: int
    length: int
    checksum: int
    shard: int

    @property
    def name(self) -> bytes:
        """The 16 bytes that name it."""
        return struct.pack("<QQ", self.high, self.low)
