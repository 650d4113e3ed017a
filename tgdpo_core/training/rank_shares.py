"""Which process takes which pairs of an optimizer step: about the same number of tokens each.

Processes wait for the slowest one at every step. The step keeps its pairs, so that no loss changes;
only who computes them does.
"""

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler


class EvenShares(Sampler[int]):
    """The order of another sampler, changed within each step so that shares are even.

    Batch b of an epoch goes to process b modulo the number of processes, as accelerate deals them.

    Args:
        sampler: the order of an epoch.
        costs: [P] of each pair of the training set, in tokens.
        batch_size: pairs of a batch.
        world_size: processes.
        accumulation: batches of a process in a step.
    """

    def __init__(
        self,
        sampler: Any,
        costs: np.ndarray[Any, Any],
        *,
        batch_size: int,
        world_size: int,
        accumulation: int,
    ) -> None:
        self._sampler = sampler
        self._costs = costs
        self._batch_size, self._world_size = batch_size, world_size
        self._per_step = batch_size * world_size * accumulation

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[int]:
        order = np.fromiter(self._sampler, np.int64)
        for start in range(0, len(order), self._per_step):
            step = order[start : start + self._per_step]
            owners = np.arange(len(step)) // self._batch_size % self._world_size
            yield from step[evened(self._costs[step].tolist(), owners.tolist())].tolist()

    def set_epoch(self, epoch: int) -> None:
        """Pass the epoch on to the order."""
        self._sampler.set_epoch(epoch)


def evened(costs: Sequence[float], owners: Sequence[int]) -> list[int]:
    """Return which item goes to each place, so that owners of places bear about the same costs.

    The largest item first, each to the owner that bears least and has a place left.

    Args:
        costs: of the items.
        owners: of the places, as many as there are items.
    """
    places: dict[int, list[int]] = {}
    for place, owner in enumerate(owners):
        places.setdefault(owner, []).append(place)
    borne = [(0.0, owner) for owner in sorted(places)]
    items: dict[int, list[int]] = {owner: [] for owner in places}
    for item in sorted(range(len(costs)), key=lambda i: -costs[i]):
        load, owner = heapq.heappop(borne)
        items[owner].append(item)
        if len(items[owner]) < len(places[owner]):
            heapq.heappush(borne, (load + costs[item], owner))
    result = [0] * len(costs)
    for owner, own in places.items():
        for place, item in zip(own, sorted(items[owner]), strict=True):
            result[place] = item
    return result
