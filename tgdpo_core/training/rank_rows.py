"""What the processes of a run must agree on in an optimizer step: which pairs count, how many rows.

Loaders fill the last batch of an epoch with pairs from its beginning, so that every process has
one; these pairs were trained on already and count for nothing. Sharded models meet in every
forward, so that all processes need the same number of rows: who has fewer adds rows without weight.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import TrainingArguments

from tgdpo_core.errors import UsageError
from tgdpo_core.scoring.pairs import ScoredPair
from tgdpo_core.training.batches import PairBatch


@dataclass
class EpochPlace:
    """How many batches of the running epoch this process has taken.

    Attributes:
        num_pairs: pairs of the training set.
        batch_size: pairs of a batch of one process.
        rank: this process.
        world_size: processes.
        drop_last: pairs that do not fill a batch of every process are left out of the epoch.
    """

    num_pairs: int
    batch_size: int
    rank: int
    world_size: int
    drop_last: bool = False
    _iterator: Any = None
    _taken: int = 0

    @property
    def batches_per_epoch(self) -> int:
        """Batches that each process takes in an epoch."""
        batches = self.num_pairs / (self.batch_size * self.world_size)
        return math.floor(batches) if self.drop_last else math.ceil(batches)

    @property
    def batches_left(self) -> int:
        """Batches of the running epoch that this process has not taken."""
        return self.batches_per_epoch - self._taken

    def begin(self, iterator: Any, first_batch: int) -> None:
        """Note that batches come from ``iterator``; a new one begins at ``first_batch``."""
        if iterator is not self._iterator:
            self._iterator, self._taken = iterator, first_batch

    def counted(self, batches: Sequence[dict[str, Any]]) -> list[ScoredPair]:
        """Return the pairs of the next batches without those that only fill the last one.

        Batch b of process r holds the pairs from (b * processes + r) * batch size on, in the order
        of the epoch.
        """
        if self.world_size == 1:  # nothing is filled
            self._taken += len(batches)
            return [pair for batch in batches for pair in batch["pairs"]]
        kept: list[ScoredPair] = []
        for batch in batches:
            first = (self._taken * self.world_size + self.rank) * self.batch_size
            kept += batch["pairs"][: max(self.num_pairs - first, 0)]
            self._taken += 1
        return kept


def epoch_place(num_pairs: int, batch_size: int, args: TrainingArguments) -> EpochPlace:
    """Return the place of this process in the epochs of a run, before the first batch.

    Args:
        num_pairs: pairs of the training set.
        batch_size: pairs of a batch of one process.
        args: of the run: its processes, and whether the last batch is dropped.

    Raises:
        UsageError: an epoch has no batch, for the only one is not full and is dropped.
    """
    ranks = args.process_index, args.world_size
    place = EpochPlace(num_pairs, batch_size, *ranks, drop_last=args.dataloader_drop_last)
    if not place.batches_per_epoch:
        processes = f" of each of {args.world_size} processes" if args.world_size > 1 else ""
        raise UsageError(
            f"The training set has {num_pairs} pairs, fewer than a batch of {batch_size}"
            f"{processes}, and training.dataloader_drop_last drops what does not fill one: nothing "
            "is left. Leave dataloader_drop_last out, or lower per_device_train_batch_size."
        )
    return place


def weightless(batch: PairBatch) -> PairBatch:
    """Return a row that costs a step and changes nothing: its loss is multiplied by 0."""
    return dataclasses.replace(batch, counts=False)


def in_step(rows: Sequence[PairBatch], most: int) -> list[PairBatch]:
    """Return the rows, copies of the shortest one without weight before them up to ``most``."""
    shortest = min(rows, key=lambda row: row.row.num_tokens)
    return [weightless(shortest)] * (most - len(rows)) + list(rows)
