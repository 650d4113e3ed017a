"""Which pairs count where several processes fill the last batch of an epoch."""

import math
from typing import Any

import pytest
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler, SequentialSampler

from tgdpo_core.training.rank_rows import EpochPlace


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("resumed_after", [0, 1])
@pytest.mark.parametrize(
    ("num_pairs", "batch_size", "world_size"), [(47, 2, 2), (67, 4, 4), (8, 2, 2), (9, 4, 2)]
)
def test_every_pair_counts_once(
    num_pairs: int, batch_size: int, world_size: int, resumed_after: int, accumulation: int
) -> None:
    """As accelerate hands out batches, in steps of several, from the start or a later step on."""
    counted: list[int] = []
    per_rank = math.ceil(num_pairs / (batch_size * world_size))
    for rank in range(world_size):
        sampler = BatchSampler(SequentialSampler(range(num_pairs)), batch_size, drop_last=False)
        shard = list(BatchSamplerShard(sampler, world_size, rank))
        assert len(shard) == per_rank
        place = EpochPlace(num_pairs, batch_size, rank, world_size)
        assert place.batches_per_epoch == per_rank
        first = min(resumed_after * accumulation, per_rank)
        place.begin(iterator := object(), first)
        for start in range(first, per_rank, accumulation):
            step: Any = [{"pairs": batch} for batch in shard[start : start + accumulation]]
            counted += place.counted(step)
            place.begin(iterator, 99)  # the same iterator goes on
    before = min(resumed_after * accumulation * batch_size * world_size, num_pairs)
    assert sorted(counted) == list(range(before, num_pairs))


def test_one_process_counts_all() -> None:
    place = EpochPlace(3, 2, 0, 1)
    place.begin(object(), 0)
    assert place.counted([{"pairs": [1, 2]}, {"pairs": [3]}]) == [1, 2, 3]
