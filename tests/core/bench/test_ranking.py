"""Areas and shares against counting, and weights against repetition."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tgdpo_core.bench.ranking import auc, matched_auc, rank_correlation, wins, within_auc
from tgdpo_core.evaluation.intervals import Estimate, estimate, resampled_weights, weighted_share

things = st.lists(
    st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 3)), min_size=1, max_size=25
)
weights = st.lists(st.integers(0, 3), min_size=4, max_size=4)


def by_counting(values: list[tuple[int, bool]]) -> float:
    errors = [v for v, wrong in values if wrong]
    others = [v for v, wrong in values if not wrong]
    scores = [1.0 if e < o else 0.5 * (e == o) for e, o in itertools.product(errors, others)]
    return sum(scores) / len(scores) if scores else math.nan


@settings(deadline=None)
@given(things=things, weights=weights)
def test_a_weighted_area_is_that_of_repeated_things(
    things: list[tuple[int, bool, int]], weights: list[int]
) -> None:
    values, wrong, problem = (np.array(column) for column in zip(*things, strict=True))
    repeated = [(v, e) for v, e, p in things for _ in range(weights[p])]
    found = auc(values, wrong, problem)(np.array(weights))
    assert found == pytest.approx(by_counting(repeated), nan_ok=True)


@settings(deadline=None)
@given(things=things, weights=weights)
def test_a_matched_area_counts_pairs_of_one_stratum(
    things: list[tuple[int, bool, int]], weights: list[int]
) -> None:
    values, wrong, problem = (np.array(column) for column in zip(*things, strict=True))
    stratum = values % 2  # whatever it is
    wins = pairs = 0.0
    for each in (0, 1):
        repeated = [(v, e) for v, e, p in things if v % 2 == each for _ in range(weights[p])]
        errors = sum(e for _, e in repeated)
        number = errors * (len(repeated) - errors)
        pairs += number
        wins += number * by_counting(repeated) if number else 0
    found = matched_auc(values, wrong, stratum, problem)(np.array(weights))
    assert found == pytest.approx(wins / pairs if pairs else math.nan, nan_ok=True)


def test_the_area_inside_responses_is_the_mean_of_those_that_have_both_kinds() -> None:
    values = np.array([1.0, 2.0, 3.0, 0.0, 5.0, 4.0, 9.0])
    wrong = np.array([True, False, False, True, False, True, True])
    response = np.array([0, 0, 0, 1, 2, 2, 3])
    problem = np.array([0, 0, 1, 1])
    statistic = within_auc(values, wrong, response, problem)
    # Response 0: 1; response 2: the error 4 is below 5: 1; the others have one kind.
    assert statistic(np.array([1, 1])) == 1
    statistic = within_auc(-values, wrong, response, problem)
    assert statistic(np.array([1, 1])) == 0
    turned = np.array([1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 9.0])
    statistic = within_auc(turned, wrong, response, problem)
    assert statistic(np.array([3, 1])) == pytest.approx(3 / 4)
    assert math.isnan(within_auc(values[:1], wrong[:1], response[:1], problem)(np.ones(2)))


def test_pairs_are_won_lost_or_tied() -> None:
    statistic = wins(np.array([2.0, 1.0, 1.0]), np.array([1.0, 2.0, 1.0]), np.array([0, 1, 2]))
    assert statistic(np.ones(3)) == 0.5
    assert statistic(np.array([2, 0, 1])) == pytest.approx(2.5 / 3)


def test_the_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40))
    found = rank_correlation(a, a + b, np.arange(40))(np.ones(40))
    assert found == pytest.approx(stats.spearmanr(a, a + b).statistic)
    assert math.isnan(rank_correlation(np.zeros(40), b, np.arange(40))(np.ones(40)))


def test_resamples_draw_problems_with_replacement() -> None:
    drawn = resampled_weights(5, 2000, seed=3)
    assert (drawn.sum(1) == 5).all()
    assert drawn.mean(0) == pytest.approx(np.ones(5), abs=0.1)
    assert (drawn == resampled_weights(5, 2000, seed=3)).all()


def test_an_interval_covers_responses_of_one_problem_together() -> None:
    # Ten problems, each with 100 equal answers: as uncertain as ten answers.
    right = np.repeat([1, 0, 1, 1, 0, 1, 0, 1, 1, 1], 100)
    statistic = weighted_share(right, np.repeat(np.arange(10), 100))
    found = estimate(statistic, resampled_weights(10, 4000, seed=0))
    assert found.value == 0.7
    assert found.low is not None
    assert found.high is not None
    by_binomial = stats.binom(10, 0.7).ppf([0.025, 0.975]) / 10
    assert (found.low, found.high) == pytest.approx(tuple(by_binomial), abs=0.01)


def test_what_is_not_defined_has_no_value_and_what_rarely_is_no_interval() -> None:
    draws = resampled_weights(2, 100, seed=0)
    assert estimate(lambda w: math.nan, draws) == Estimate(None)
    rare = estimate(lambda w: 1.0 if w[0] == 1 == w[1] else math.nan, draws[:0])
    assert rare == Estimate(1.0)
    only_all = estimate(
        lambda w: 0.0 if (w == np.ones(2)).all() else math.nan, draws[draws[:, 0] != 1]
    )
    assert only_all == Estimate(0.0)
