"""The judge `likelihood`: accuracy from log-probs, by sum and by mean per token."""

import pytest

from tgdpo_core import PairLikelihood
from tgdpo_core.testing import JudgeContract
from tgdpo_plugins.judges.likelihood import Likelihood


def pair(chosen: tuple[float, ...], rejected: tuple[float, ...]) -> PairLikelihood:
    return PairLikelihood("Yes or no?", "yes", "no", chosen, rejected)


@pytest.mark.parametrize(
    ("chosen", "rejected", "by_sum", "by_mean"),
    [
        ((-1.0, -1.0), (-3.0,), 1.0, 1.0),
        ((-1.0, -1.0), (-1.5,), 0.0, 1.0),  # the longer one loses by its length alone
        ((-2.0,), (-1.0, -1.5), 1.0, 0.0),
        ((-1.0, -1.0), (-2.0,), 0.5, 1.0),
        ((-1.5,), (-1.0, -2.0), 1.0, 0.5),
        # Summed from left to right these differ in the last digit.
        ((-0.1, -0.2, -0.3), (-0.3, -0.2, -0.1), 0.5, 0.5),
        ((), (-1.0,), 1.0, 1.0),  # a response cut to nothing is certain
    ],
)
def test_the_likelier_response_wins(
    chosen: tuple[float, ...], rejected: tuple[float, ...], by_sum: float, by_mean: float
) -> None:
    batch = [pair(chosen, rejected)]
    assert Likelihood().score_pairs(batch) == [by_sum]
    assert Likelihood(normalize="length").score_pairs(batch) == [by_mean]


def test_labels_exchanged_give_the_complement() -> None:
    logps = [(-1.0, -2.0), (-0.5,), (-3.0,), (-1.5, -1.5, -1.0)]
    there = Likelihood().score_pairs([pair(a, b) for a in logps for b in logps])
    back = Likelihood().score_pairs([pair(b, a) for a in logps for b in logps])
    assert [a + b for a, b in zip(there, back, strict=True)] == [1.0] * 16


class TestSum(JudgeContract):
    plugin = Likelihood()


class TestMean(JudgeContract):
    plugin = Likelihood(normalize="length")
