"""Kills in the writes of a store: what was answered stays, the rest is computed again."""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.prove_faults.killing import Action, Killer, forked
from benchmarks.prove_faults.saves import Count, Say, at_equal_distances

_TOKENS_PER_BATCH = 48  # so that 24 pairs are many batches
Contents = dict[tuple[str, bytes], bytes]


def killed_in_store_writes(root: Path, number: int, say: Say) -> Count:
    """Kill ``tgdpo score`` at points of what it writes; nothing whole is lost, nothing differs."""
    rows, log, store, whole = (root / n for n in ("rows.jsonl", "events-s", "store-k", "store-w"))

    def score(place: Path, killer: Killer | None = None) -> Action:
        def act() -> None:
            from tgdpo_cli.main import main
            from tgdpo_core.scoring import filling

            os.environ["TGDPO_STORE"] = str(place)
            filling._TOKENS_PER_BATCH = _TOKENS_PER_BATCH
            if killer:
                killer.arm_for_pwrite()
            arguments = ["score", "--model", "playground", "--dataset", str(rows)]
            main([*arguments, "--reward-plugin", "random"])

        return act

    forked(score(whole))
    expected = contents(whole)
    forked(score(store, Killer(store, None, log)))
    events = log.read_text().splitlines()
    writes = [i for i, name in enumerate(events, 1) if name.startswith("pwrite")]
    exact = 0
    points = at_equal_distances(writes, number)
    for point in points:
        shutil.rmtree(store)
        killed = forked(score(store, Killer(store, point)))
        kept = contents(store)
        again = forked(score(store))
        is_right = kept.items() <= expected.items() and len(kept) >= _answered(events[:point])
        same = again == 0 and is_right and contents(store) == expected
        exact += same
        say(
            f"{events[point - 1]:50s} {killed:4d} kept {len(kept):2d} of {len(expected)} "
            f"again {again} exact {same}"
        )
    return Count(exact, len(points))


def _answered(events: Sequence[str]) -> int:
    """Return how many entries were written whole: records of 40 bytes behind a header."""
    sizes = (re.fullmatch(r"pwrite whole \d+\.index \+[1-9]\d* :(\d+)", name) for name in events)
    return sum(int(size[1]) // 40 for size in sizes if size)


def contents(root: Path) -> Contents:
    """Return every value of a store whose checksum is right, by key and name."""
    from tgdpo_core.store.catalogue import list_collections
    from tgdpo_core.store.entry_index import Entry, entries_of
    from tgdpo_core.store.shards import (
        ShardDamaged,
        ShardReader,
        checksum,
        read_index,
        shard_numbers,
        shard_paths,
    )

    found: Contents = {}
    for info in list_collections(root):
        for number in shard_numbers(info.path):
            values, index, _ = shard_paths(info.path, number)
            reader = ShardReader(values)
            for numbers in entries_of(read_index(index, info.key), number).tolist():
                entry = Entry(*numbers)
                try:
                    part = reader(entry.offset, entry.length)
                except ShardDamaged:
                    continue
                if checksum(info.key, entry.name, part) == entry.checksum:
                    found[info.key, entry.name] = part.tobytes()
    return found
