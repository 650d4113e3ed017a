"""The first error: by hand as ProcessBench defines it, and the best threshold by trying all."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tgdpo_core.bench.first_error import best_threshold, cross_validated, f1, thresholds
from tgdpo_core.bench.folds import problem_folds

# Four responses: errors at step 1 and step 0, and two without.
VALUES = np.array([5.0, 1.0, 0.0, 2.0, 9.0, 4.0, 4.0, 1.0])
RESPONSES = np.array([0, 0, 0, 1, 1, 2, 2, 3])
FIRST = np.array([1, 0, -1, -1])


def predicted(steps: list[float], threshold: float) -> int:
    return next((i for i, value in enumerate(steps) if value < threshold), -1)


def judged(threshold: float) -> list[bool]:
    steps = [VALUES[r == RESPONSES].tolist() for r in range(4)]
    return [predicted(s, threshold) == FIRST[r] for r, s in enumerate(steps)]


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 9.0, math.inf])
def test_a_response_is_right_for_the_thresholds_of_its_interval(threshold: float) -> None:
    found = thresholds(VALUES, RESPONSES, FIRST, np.arange(4))
    right = (found.low < threshold) & (threshold <= found.high)
    assert right.tolist() == judged(threshold)


def test_f1_is_the_harmonic_mean_of_both_accuracies() -> None:
    right = np.array([True, False, True, True, False])
    has_error = np.array([True, True, False, False, False])
    statistic = f1(right, has_error, np.arange(5))
    assert statistic(np.ones(5)) == pytest.approx(2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))
    assert statistic(np.array([1, 0, 1, 0, 0])) == 1
    assert statistic(np.array([0, 1, 0, 0, 1])) == 0
    assert math.isnan(statistic(np.array([1, 1, 0, 0, 0])))


responses = st.lists(
    st.tuples(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(-1, 3)),
    min_size=1,
    max_size=8,
)


@settings(deadline=None)
@given(responses)
def test_no_threshold_is_better_than_the_best(found: list[tuple[list[int], int]]) -> None:
    found = [(steps, min(first, len(steps) - 1)) for steps, first in found]
    values = np.array([v for steps, _ in found for v in steps], dtype=float)
    owners = np.repeat(np.arange(len(found)), [len(steps) for steps, _ in found])
    first = np.array([f for _, f in found])
    intervals = thresholds(values, owners, first, np.arange(len(found)))

    def score(threshold: float) -> float:
        right = np.array([predicted([*map(float, s)], threshold) == f for s, f in found])
        shares = [right[kind].mean() for kind in (first >= 0, first < 0) if kind.any()]
        if len(shares) == 1:
            return float(shares[0])
        return 2 * shares[0] * shares[1] / sum(shares) if sum(shares) else 0.0

    best = best_threshold(intervals, np.ones(len(found), dtype=bool))
    assert score(best) == max(score(t) for t in [*np.arange(-0.5, 7, 0.5).tolist(), math.inf])


def test_a_threshold_is_judged_on_problems_that_did_not_choose_it() -> None:
    # Problem 0 wants a threshold of 2, problem 1 one of 11: each is judged by the other's.
    values = np.array([2.0, 1.0, 11.0, 10.0])
    found = thresholds(values, np.array([0, 0, 1, 1]), np.array([1, 1]), np.array([0, 1]))
    right, chosen = cross_validated(found, np.array([0, 1]))
    assert right.tolist() == [False, False]
    assert chosen == [11.0, 2.0]
    right, _ = cross_validated(found, np.array([0, 0]))
    assert np.isnan(right).all()  # nothing else to learn from
    assert cross_validated(found, np.array([0, 0]))[1] == []


def test_ties_for_the_lowest_step_share_the_hit() -> None:
    values = np.array([1.0, 1.0, 3.0, 2.0, 2.5])
    found = thresholds(values, np.array([0, 0, 0, 1, 1]), np.array([1, 0]), np.arange(2))
    assert found.lowest_hits.tolist() == [0.5, 1.0]


def test_steps_without_a_token_are_never_found_and_cut_errors_are_left_out() -> None:
    values = np.array([np.nan, 1.0, 2.0, np.nan, 3.0])
    owners = np.array([0, 0, 1, 1, 2])
    found = thresholds(values, owners, np.array([1, 1, -2]), np.arange(3))
    assert found.problem.tolist() == [0]  # the marked step of 1 has no value, 2 was cut
    assert (found.low[0], found.high[0]) == (1.0, math.inf)


def test_folds_are_even_and_repeatable() -> None:
    folds = problem_folds(11, 4, seed=1)
    assert sorted(np.bincount(folds).tolist()) == [2, 3, 3, 3]
    assert (folds == problem_folds(11, 4, seed=1)).all()
    assert (folds != problem_folds(11, 4, seed=2)).any()
