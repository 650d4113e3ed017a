"""Calibration by hand, and against least squares by trying."""

import math

import numpy as np
import pytest
from scipy import stats

from tgdpo_core.bench.calibration import (
    brier_skill,
    calibration_error,
    error_chances,
    fit_falling,
    reliability,
)


def test_the_fit_pools_what_rises() -> None:
    values = np.array([1.0, 2.0, 3.0, 3.0, 4.0])
    wrong = np.array([True, False, True, False, False])
    known, fitted = fit_falling(values, wrong)
    assert known.tolist() == [1, 2, 3, 4]
    # Shares 1, 0, 1/2 of two, 0: the second and third are pooled to 1/3.
    assert fitted.tolist() == pytest.approx([1, 1 / 3, 1 / 3, 0])


def test_chances_come_from_other_folds() -> None:
    values = np.array([0.0, 1.0, 0.0, 1.0])
    wrong = np.array([True, False, False, True])
    problem = np.array([0, 0, 1, 1])
    chances = error_chances(values, wrong, problem, np.array([0, 1]))
    # Problem 1 rises, so its fit is flat; problem 0 falls from 1 to 0.
    assert chances.tolist() == [0.5, 0.5, 1.0, 0.0]


def test_the_calibration_error_is_the_gap_of_each_bin() -> None:
    chances = np.array([0.05, 0.05, 0.95, 0.95, 1.0])
    wrong = np.array([False, True, True, True, False])
    statistic = calibration_error(chances, wrong, np.arange(5))
    first, last = abs(0.1 - 1), abs(2.9 - 2)
    assert statistic(np.ones(5)) == pytest.approx((first + last) / 5)
    assert statistic(np.array([1, 0, 2, 0, 0])) == pytest.approx((0.05 + 2 * 0.05) / 3)


def test_chances_drawn_from_themselves_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    chances = rng.uniform(size=20_000)
    wrong = rng.uniform(size=20_000) < chances
    assert calibration_error(chances, wrong, np.arange(20_000))(np.ones(20_000)) < 0.02
    bins = reliability(chances, wrong)
    assert [each.count for each in bins] == stats.binned_statistic(
        chances, chances, "count", bins=10, range=(0, 1)
    ).statistic.tolist()
    assert all(abs(each.predicted - each.observed) < 0.04 for each in bins)


def test_the_skill_is_relative_to_knowing_the_share_of_errors() -> None:
    wrong = np.array([True, False, False, False])
    owners = np.arange(4)
    assert brier_skill(np.full(4, 0.25), wrong, owners)(np.ones(4)) == pytest.approx(0)
    assert brier_skill(wrong.astype(float), wrong, owners)(np.ones(4)) == 1
    by_hand = 1 - (0.25 + 0.01) / (4 * 0.25 * 0.75)
    chances = np.array([0.5, 0.1, 0, 0])
    assert brier_skill(chances, wrong, owners)(np.ones(4)) == pytest.approx(by_hand)
    assert math.isnan(brier_skill(chances, wrong, owners)(np.array([0, 1, 1, 1])))
