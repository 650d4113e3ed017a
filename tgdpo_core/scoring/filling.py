"""Filling a collection: what it lacks is computed in batches, and kept at once."""

import random
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from filelock import FileLock, Timeout

from tgdpo_core.data.token_table import Array, TokenTable
from tgdpo_core.errors import StoreError
from tgdpo_core.free_memory import FreeMemory
from tgdpo_core.progress import stage
from tgdpo_core.scoring.answers import Answers
from tgdpo_core.store.collection import Collection
from tgdpo_core.store.located import Located

_TOKENS_PER_BATCH = 8192  # padded tokens of one forward pass

Compute = Callable[[Sequence[int]], Sequence[torch.Tensor]]
"""From rows of a table to one [n] float32 tensor each: the chosen response's values, then the
rejected's."""


def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Pass:
    """What is asked about every pair of a table, and where the answers go.

    Attributes:
        number: 0 for the reference, then the stored sources in their order, then the quantities of
            the reference's distribution.
        name: as run.json has it.
        label: what the progress bar says.
        collection: where values go.
        table: the pairs.
        entries: [P, 16] uint8, the store's name for each pair.
        compute: called on rows of similar length; loads what it needs when first called.
        close: frees what was loaded.
        width: values for each response token.
        finish: called once all was computed here; raises where what was stored must not be used.
        answers: asks about single responses in place of ``compute``, where calls overlap.
        prepare: called by every process before anything is computed, or None.
    """

    number: int
    name: str
    label: str
    collection: Collection
    table: TokenTable
    entries: Array
    compute: Compute
    close: Callable[[], None]
    width: int = 1
    finish: Callable[[], None] = _nothing
    answers: Answers | None = None
    prepare: Callable[[], None] | None = None

    def note(self, share: float) -> str:
        """Return what a progress bar adds, when a share of the work is done."""
        return self.answers.asked.money(self.answers.cost, share) if self.answers else ""


Elsewhere = Callable[[Pass, Sequence[Array]], Iterator[int]]
"""Has other processes fill the collection of a pass with batches of rows; yields rows done."""


@dataclass(frozen=True)
class Filled:
    """Where the values of a table's rows lie, and how many rows were computed for it.

    Attributes:
        values: of every row, by row number.
        computed: rows whose values were computed.
    """

    values: Located
    computed: int

    @property
    def reused(self) -> int:
        """Rows whose values were in the store."""
        return len(self.values) - self.computed


def fill(task: Pass, *, label: str = "", elsewhere: Elsewhere | None = None) -> Filled:
    """Compute and store what the collection lacks of a table.

    The processes of a run share the work; another command that fills the same collection at the
    same time takes other batches first, and neither computes what the other has stored.

    Args:
        task: what is asked about which pairs.
        label: put before that of the task.
        elsewhere: other processes that do the work, or None: this one does.

    Raises:
        StoreError: what was computed elsewhere is not in this store.
    """
    state = PartialState()
    collection, entries = task.collection, task.entries
    with _first_to_fill(collection) as is_first:
        lacking, in_order = _lacking(task, in_order=is_first)
        if task.prepare and len(lacking):
            task.prepare()
        mine = _first_of_each_name(lacking, entries)[state.process_index :: state.num_processes]
        size = task.answers.rows_per_batch if task.answers else None
        batches = list(_batches(mine, task.table.counts.longest, size))
        if not in_order:
            random.Random(state.process_index).shuffle(batches)
        work = (elsewhere or _here)(task, batches) if batches else iter(())
        free = FreeMemory()
        try:
            is_shown = bool(len(mine)) and state.is_main_process
            with stage(label + task.label, len(mine), "pair", shown=is_shown) as bar:
                for num_rows in work:
                    bar.update(num_rows)
                    free.give_back()
                    if note := task.note(bar.n / len(mine)):
                        bar.set_postfix_str(note, refresh=False)
            task.finish()
        finally:
            if isinstance(work, Generator):
                work.close()  # an interrupt may have come between two answers
            collection.close()
    state.wait_for_everyone()
    collection.refresh()
    located = collection.locate(entries)
    if not located.are_stored.all():
        raise StoreError(
            f"{int((~located.are_stored).sum())} of {len(entries)} pairs were computed, but their "
            f"values are not in {collection.folder}: all processes must see one store. Set "
            "TGDPO_STORE to a folder that they share."
        )
    return Filled(located, len(lacking))


def fill_batch(task: Pass, batch: Array) -> None:
    """Compute and store rows of a table, those left out that another process has stored."""
    if task.answers:
        for _ in task.answers.fill(batch.tolist()):
            pass
        return
    rows = _not_yet_stored(task.collection, batch, task.entries)
    if len(rows):
        values = task.compute(rows.tolist())
        task.collection.add([task.entries[row].tobytes() for row in rows], values)


def _here(task: Pass, batches: Sequence[Array]) -> Iterator[int]:
    if task.answers:
        yield from task.answers.fill(row for batch in batches for row in batch.tolist())
        return
    for batch in batches:
        fill_batch(task, batch)
        yield len(batch)


class _first_to_fill:
    """Whether no other command is filling the collection; held until the end."""

    def __init__(self, collection: Collection) -> None:
        self._lock = FileLock(collection.folder / "filling.lock")

    def __enter__(self) -> bool:
        if not PartialState().is_main_process:
            return True
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        except OSError:  # a store that is complete may be read-only
            return True
        return True

    def __exit__(self, *_: object) -> None:
        if self._lock.is_locked:
            self._lock.release()


def _lacking(task: Pass, *, in_order: bool) -> tuple[Array, bool]:
    """Return the rows that the collection lacks, longest first, as the first process sees it.

    Each for itself would see what the others have written meanwhile, and the shares would not add
    up to the whole. ``in_order`` is passed on as the first process has it.
    """
    seen: list[Any] = [None]
    if PartialState().is_main_process:
        lengths = task.table.counts.responses * task.width
        are_stored = task.collection.verified(task.entries, lengths.tolist())
        rows = np.flatnonzero(~are_stored)
        seen = [(rows[np.argsort(-task.table.counts.longest[rows], kind="stable")], in_order)]
    lacking, in_order = broadcast_object_list(seen)[0]
    return lacking, in_order


def _first_of_each_name(rows: Array, entries: Array) -> Array:
    """Return rows without those whose entry stands before, in their order."""
    names = np.ascontiguousarray(entries[rows]).view("V16").reshape(-1)
    _, first = np.unique(names, return_index=True)
    return rows[np.sort(first)]


def _not_yet_stored(collection: Collection, rows: Array, entries: Array) -> Array:
    """Return what no process has stored meanwhile."""
    collection.refresh()
    return rows[~collection.locate(entries[rows]).are_stored]


def _batches(rows: Array, longest: Array, size: int | None) -> Iterator[Array]:
    """Yield runs of rows sorted by length: of a size, or as many as fit the padded budget."""
    start = 0
    while start < len(rows):
        fitting = size or max(1, _TOKENS_PER_BATCH // (2 * int(longest[rows[start]])))
        yield rows[start : start + fitting]
        start += fitting
