"""Histograms of token values, and the extreme pairs."""

import numpy as np
import pytest

from tgdpo_core.reports.distribution import distribution, extremes


def test_every_token_is_counted_once_on_its_side() -> None:
    chosen, rejected = np.linspace(0, 1, 50), np.linspace(-1, 0.5, 70)
    found = distribution("r", chosen, rejected)
    assert found
    assert (sum(found.chosen), sum(found.rejected)) == (50, 70)
    assert (found.low, found.high, found.below, found.above) == (-1, 1, 0, 0)


def test_far_outliers_are_cut_off_and_counted() -> None:
    values = np.append(np.linspace(-1, 1, 10_000), [1e6, -1e6, 2e6])
    found = distribution("r", values, np.zeros(100))
    assert found
    assert found.high < 2
    total = sum(found.chosen) + sum(found.rejected) + found.below + found.above
    assert total == 10_103
    assert found.above >= 2
    assert found.below >= 1


@pytest.mark.parametrize("values", [[1.0, 1.0], [1.0, np.nan], [np.inf, 0.0], []])
def test_values_that_do_not_vary_or_are_no_numbers_have_no_histogram(values: list[float]) -> None:
    assert distribution("r", np.array(values), np.array(values)) is None


def test_extremes_are_the_ends_most_extreme_first_and_never_both() -> None:
    assert extremes(np.array([3.0, 1.0, 2.0, 9.0, 0.0]), 4) == ([4, 1], [3, 0])
    assert extremes(np.array([1.0, 1.0, 1.0]), 4) == ([], [])
    assert extremes(np.array([1.0]), 4) == ([], [])
