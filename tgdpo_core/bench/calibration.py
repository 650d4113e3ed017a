"""Can a value be read as a chance of being wrong? Fitted on some problems, judged on others."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from tgdpo_core.evaluation.intervals import Statistic

Array = np.ndarray[Any, Any]

NUM_BINS = 10


@dataclass(frozen=True)
class Reliability:
    """One bin of predicted chances.

    Attributes:
        predicted: mean chance of being wrong.
        observed: share that is wrong.
        count: how many steps.
    """

    predicted: float
    observed: float
    count: int


def error_chances(values: Array, is_error: Array, problem: Array, folds: Array) -> Array:
    """Return [n] the chance that each is wrong, by isotonic regression on the other folds.

    The chance never rises with the value; between values it is interpolated.

    Args:
        values: [n] finite.
        is_error: [n] bool.
        problem: [n] the problem of each.
        folds: [P] fold of each problem.
    """
    chances = np.full(len(values), np.nan)
    for fold in np.unique(folds):
        held_out = folds[problem] == fold
        if held_out.any() and not held_out.all():
            known, fitted = fit_falling(values[~held_out], is_error[~held_out])
            chances[held_out] = np.interp(values[held_out], known, fitted)
    return chances


def fit_falling(values: Array, is_error: Array) -> tuple[Array, Array]:
    """Return distinct values, ascending, and the chance of an error at each, never rising."""
    known, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    shares = np.bincount(place, weights=np.asarray(is_error, float)) / counts
    fitted = isotonic_regression(shares, weights=counts.astype(float), increasing=False)
    return known, np.asarray(fitted.x)


def calibration_error(chances: Array, is_error: Array, problem: Array) -> Statistic:
    """Return the statistic: ECE, the mean of |predicted - observed| over bins of equal width.

    Args:
        chances: [n] in [0, 1].
        is_error: [n] bool.
        problem: [n] the problem of each.
    """
    bins = _bins(chances)
    gaps = chances - np.asarray(is_error, dtype=np.float64)

    def error(weights: Array) -> float:
        w = weights[problem].astype(np.float64)
        total = w.sum()
        return (
            float(np.abs(np.bincount(bins, w * gaps, NUM_BINS)).sum() / total)
            if total
            else math.nan
        )

    return error


def brier_skill(chances: Array, is_error: Array, problem: Array) -> Statistic:
    """Return the statistic: 1 - mean squared error / that of the share of errors itself.

    0: as good as knowing how frequent errors are; 1: certain and right. NaN without both kinds.
    """
    wrong = np.asarray(is_error, dtype=np.float64)

    def skill(weights: Array) -> float:
        w = weights[problem].astype(np.float64)
        base = np.average(wrong, weights=w) if w.sum() else math.nan
        variance = (w * (wrong - base) ** 2).sum()
        return (
            float(1 - (w * (wrong - chances) ** 2).sum() / variance) if variance > 0 else math.nan
        )

    return skill


def reliability(chances: Array, is_error: Array) -> list[Reliability]:
    """Return the bins that hold something."""
    bins = _bins(chances)
    counts = np.bincount(bins, minlength=NUM_BINS)
    predicted = np.bincount(bins, chances, NUM_BINS)
    observed = np.bincount(bins, np.asarray(is_error, float), NUM_BINS)
    return [
        Reliability(float(predicted[b] / counts[b]), float(observed[b] / counts[b]), int(counts[b]))
        for b in np.flatnonzero(counts)
    ]


def _bins(chances: Array) -> Array:
    return np.minimum((chances * NUM_BINS).astype(np.int64), NUM_BINS - 1)
