import pytest
import torch
from tgdpo_reward_repetition.soft_clip import SoftClip

from tgdpo_core.testing import TransformContract, make_examples


class TestSoftClip(TransformContract):
    plugin = SoftClip(limit=2.0)


def clipped(values, **options):
    return SoftClip(**options)(torch.tensor(values), make_examples()[0], {}).tolist()


def test_outliers_end_at_the_limit():
    assert clipped([100.0, -100.0], limit=2.0) == [2.0, -2.0]


def test_small_values_stay_as_they_are():
    assert clipped([0.01, 0.0], limit=2.0) == pytest.approx([0.01, 0.0], abs=1e-6)


def test_a_limit_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match="limit must be above 0"):
        SoftClip(limit=0.0)
