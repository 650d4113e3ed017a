"""Shares of a step: the same pairs, about the same tokens for every process."""

from itertools import chain

import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard, SeedableRandomSampler
from torch.utils.data import BatchSampler

from tgdpo_core.training.rank_shares import EvenShares, evened


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize(
    ("num_pairs", "batch_size", "world_size"), [(64, 4, 2), (67, 4, 4), (43, 2, 2), (5, 2, 4)]
)
def test_a_step_keeps_its_pairs_and_its_shares_get_even(
    num_pairs: int, batch_size: int, world_size: int, accumulation: int
) -> None:
    costs = np.random.default_rng(0).lognormal(5, 0.7, num_pairs).astype(int)

    def shares(even: bool) -> list[list[list[int]]]:
        """[process][step] -> pairs."""
        order = SeedableRandomSampler(range(num_pairs), data_seed=1)
        sampler = order
        if even:
            sampler = EvenShares(
                order,
                costs,
                batch_size=batch_size,
                world_size=world_size,
                accumulation=accumulation,
            )
        found = []
        for rank in range(world_size):
            order.set_epoch(3)
            batches = BatchSampler(sampler, batch_size, drop_last=False)
            own = list(BatchSamplerShard(batches, world_size, rank))
            steps = range(0, len(own), accumulation)
            found.append([list(chain(*own[i : i + accumulation])) for i in steps])
        return found

    before, after = shares(False), shares(True)
    full = num_pairs // (batch_size * world_size * accumulation)
    spread = {}
    for name, found in (("before", before), ("after", after)):
        loads = np.array([[costs[pairs].sum() for pairs in own[:full]] for own in found])
        spread[name] = (loads.max(0) / loads.mean(0) - 1).mean() if full else 0.0
    for i in range(full):
        assert sorted(chain(*(own[i] for own in before))) == sorted(
            chain(*(own[i] for own in after))
        )
    assert sorted({pair for own in after for step in own for pair in step}) == list(
        range(num_pairs)
    )
    assert spread["after"] <= spread["before"]
    if full and batch_size * accumulation > 2:
        assert spread["after"] < 0.5 * spread["before"]


def test_the_largest_goes_first_and_places_are_filled() -> None:
    assert evened([1, 9, 2, 8], [0, 0, 1, 1]) == [0, 1, 2, 3]  # 1 + 9 and 2 + 8
    assert evened([9, 8, 2, 1], [0, 1, 0, 1]) == [0, 1, 3, 2]
    assert evened([5, 1, 1], [0, 1, 1]) == [0, 1, 2]
    assert evened([], []) == []
