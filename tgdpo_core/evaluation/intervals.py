"""Intervals by resampling problems: the responses to one prompt are not independent."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
Statistic = Callable[[Array], float]
"""[P] weights of the problems, how often each was drawn, to a number; NaN where not defined."""

LEVEL = 0.95
_LEAST_DEFINED = 0.5


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: over all problems; None where it is not defined.
        low, high: percentiles 2.5 and 97.5 over resamples; None where not asked for, or where it is
            not defined in half of the resamples.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    def as_dict(self) -> dict[str, float | None]:
        """Return JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


def resampled_weights(num_problems: int, num_resamples: int, *, seed: int) -> Array:
    """Return [B, P] int64: how often each of P problems is drawn in each of B resamples."""
    rng = np.random.default_rng(seed)
    equal = np.full(num_problems, 1 / num_problems)
    return rng.multinomial(num_problems, equal, size=num_resamples)


def resampled_clusters(clusters: Array, num_resamples: int, *, seed: int) -> Array:
    """Return [B, P] int64: how often each of P problems is drawn, those of a cluster together.

    Args:
        clusters: [P] numbers from 0; equal ones are one cluster. With one cluster alone nothing can
            be resampled, and B is 0.
        num_resamples: B.
        seed: of the draws.
    """
    number = int(clusters.max()) + 1 if len(clusters) else 0
    if number < 2:
        return np.zeros((0, len(clusters)), dtype=np.int64)
    return resampled_weights(number, num_resamples, seed=seed)[:, clusters]


def estimate(statistic: Statistic, weights: Array) -> Estimate:
    """Return a statistic with its percentile bootstrap interval.

    Args:
        statistic: of the problems' weights.
        weights: [B, P], see ``resampled_weights``; with B = 0 there is no interval.
    """
    value = statistic(np.ones(weights.shape[1]))
    if not math.isfinite(value):
        return Estimate(None)
    return interval(value, np.array([statistic(row) for row in weights], dtype=np.float64))


def interval(value: float, drawn: Array) -> Estimate:
    """Return a number with the percentiles of what it is in resamples.

    Args:
        value: over all problems; NaN: not defined.
        drawn: [B], NaN where it is not defined. An end of the interval that is infinite is open:
            None.
    """
    if not math.isfinite(value):
        return Estimate(None)
    defined = drawn[~np.isnan(drawn)]
    if not len(defined) or len(defined) < _LEAST_DEFINED * len(drawn):
        return Estimate(value)
    tail = (1 - LEVEL) / 2
    # Between an infinite and a finite value there is nothing to interpolate.
    method: Literal["linear", "nearest"] = "linear" if np.isfinite(defined).all() else "nearest"
    low, high = np.quantile(defined, (tail, 1 - tail), method=method).tolist()
    return Estimate(value, *(end if math.isfinite(end) else None for end in (low, high)))


def mean_interval(values: Array, weights: Array) -> Estimate:
    """Return the mean of one number a problem, with its interval.

    Args:
        values: [P], NaN where there is none.
        weights: [B, P], see ``resampled_weights``.
    """
    known = ~np.isnan(values)
    if not known.any():
        return Estimate(None)
    mean = float(values[known].mean())
    drawn = weights[:, known]
    if (drawn == drawn[:, :1]).all():  # of one problem: resamples say nothing of it
        return Estimate(mean)
    with np.errstate(invalid="ignore"):  # a resample without a known value
        return interval(mean, (drawn @ values[known]) / drawn.sum(axis=1))


def share_interval(values: Array, weights: Array) -> Estimate:
    """Return the mean of one number of [0, 1] a problem, with its interval.

    Where all of them are 0, or all 1, resamples know nothing else: the interval is then the exact
    one of a share (Clopper and Pearson). Arguments as of ``mean_interval``.
    """
    known = values[~np.isnan(values)]
    if not len(known) or not (np.ptp(known) == 0 and known[0] in (0, 1)):
        return mean_interval(values, weights)
    from scipy.stats import binomtest

    drawn = weights[:, ~np.isnan(values)]
    number = len(np.unique(drawn, axis=1).T) if len(drawn) else len(known)  # of one problem: once
    exact = binomtest(number * int(known[0]), number).proportion_ci(LEVEL, method="exact")
    return Estimate(float(known[0]), float(exact.low), float(exact.high))


def weighted_share(is_true: Array, problem: Array) -> Statistic:
    """Return the statistic: share of true ones among [n] things, each of a problem.

    Args:
        is_true: [n] bool, or a number of [0, 1].
        problem: [n] their problems.
    """
    values = np.asarray(is_true, dtype=np.float64)

    def share(weights: Array) -> float:
        w = weights[problem]
        total = w.sum()
        return float((w * values).sum() / total) if total else math.nan

    return share
