"""Which pairs count where several processes fill the last batch of an epoch."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler, SequentialSampler

from tgdpo_core import TGDPOTrainer
from tgdpo_core.errors import UsageError
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


@pytest.mark.parametrize(
    ("num_pairs", "batch_size", "world_size"), [(10, 2, 2), (67, 4, 4), (8, 2, 2), (9, 4, 2)]
)
def test_dropped_batches_are_of_no_epoch(num_pairs: int, batch_size: int, world_size: int) -> None:
    """As accelerate hands out batches without the last ones, which are not full."""
    whole = num_pairs // (batch_size * world_size)
    counted: list[Any] = []
    for rank in range(world_size):
        sampler = BatchSampler(SequentialSampler(range(num_pairs)), batch_size, drop_last=True)
        shard: list[Any] = list(BatchSamplerShard(sampler, world_size, rank))
        place = EpochPlace(num_pairs, batch_size, rank, world_size, drop_last=True)
        assert place.batches_per_epoch == len(shard) == whole
        place.begin(object(), 0)
        counted += place.counted([{"pairs": batch} for batch in shard])
        assert place.batches_left == 0
    assert sorted(counted) == list(range(whole * batch_size * world_size))


def test_one_process_counts_all() -> None:
    place = EpochPlace(3, 2, 0, 1)
    place.begin(object(), 0)
    assert place.counted([{"pairs": [1, 2]}, {"pairs": [3]}]) == [1, 2, 3]


def test_a_smaller_batch_found_on_the_way_is_counted_with(
    make_trainer: Callable[..., TGDPOTrainer],
) -> None:
    trainer = make_trainer(per_device_train_batch_size=8)
    assert trainer._place.batch_size == 8
    trainer._train_batch_size = 2  # what auto_find_batch_size does when memory did not do
    loader = trainer.get_train_dataloader()
    assert trainer._place.batch_size == 2
    assert trainer._place.batches_per_epoch == len(loader)


def test_an_epoch_without_a_batch_is_refused(make_trainer: Callable[..., TGDPOTrainer]) -> None:
    with pytest.raises(UsageError, match=r"pairs, fewer than a batch of 4000.*nothing is left"):
        make_trainer(per_device_train_batch_size=4000, dataloader_drop_last=True)
