"""Finding the first error, as ProcessBench asks for it (arXiv 2412.06559).

Predicted is the first step whose value is below a threshold, or that there is no error. F1 is the
harmonic mean of the accuracies on responses with an error and on those without one.

Every response is right for the thresholds of one interval (low, high]: with an error at step k,
v_k < threshold <= the least value before it; without one, threshold <= its least value. So the best
threshold is found exactly, by counting intervals.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tgdpo_core.evaluation.intervals import Statistic

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Thresholds:
    """For which thresholds each of R responses is judged rightly: those in (low, high].

    Attributes:
        low, high: [R] float64.
        has_error: [R] bool.
        problem: [R] their problems.
        lowest_hits: [R] share of the response's lowest steps that are its first error; NaN without
            an error.
    """

    low: Array
    high: Array
    has_error: Array
    problem: Array
    lowest_hits: Array


def thresholds(values: Array, responses: Array, first_error: Array, problem: Array) -> Thresholds:
    """Return the interval of every response whose first error is known.

    Args:
        values: [M] of steps, response after response; NaN for a step without a token.
        responses: [M] the response of each step.
        first_error: [R] number of the first wrong step, -1 without one, below that unknown.
        problem: [R] the problem of each response.
    """
    rows = []
    num_responses = len(first_error)
    ends = np.cumsum(np.bincount(responses, minlength=num_responses))
    for r in np.flatnonzero(first_error >= -1):
        steps = values[ends[r - 1] if r else 0 : ends[r]]
        found = _interval(steps, int(first_error[r]))
        if found:
            rows.append((*found, first_error[r] >= 0, problem[r]))
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    return Thresholds(
        low=table[:, 0],
        high=table[:, 1],
        lowest_hits=table[:, 2],
        has_error=table[:, 3].astype(bool),
        problem=table[:, 4].astype(np.int64),
    )


def _interval(steps: Array, first_error: int) -> tuple[float, float, float] | None:
    """Return low, high and the lowest step's hit; None where the marked step has no value."""
    if not np.isfinite(steps).any():
        return None
    if first_error < 0:
        return -math.inf, float(np.nanmin(steps)), math.nan
    if not math.isfinite(steps[first_error]):
        return None
    before = steps[:first_error]
    high = float(np.nanmin(before)) if np.isfinite(before).any() else math.inf
    is_lowest = steps == np.nanmin(steps)
    return float(steps[first_error]), high, float(is_lowest[first_error] / is_lowest.sum())


def cross_validated(found: Thresholds, folds: Array) -> tuple[Array, list[float]]:
    """Return whether each response is judged rightly, and the threshold of each fold.

    The threshold of a fold is the best one on the problems of the other folds. Where these have no
    response there is none: [R] float64 is 1, 0, or NaN for a response that is not judged.

    Args:
        found: intervals.
        folds: [P] fold of each problem.
    """
    right = np.full(len(found.low), np.nan)
    chosen = []
    for fold in np.unique(folds):
        is_held_out = folds[found.problem] == fold
        if is_held_out.all():
            continue
        threshold = best_threshold(found, ~is_held_out)
        right[is_held_out] = ((found.low < threshold) & (threshold <= found.high))[is_held_out]
        chosen.append(threshold)
    return right, chosen


def best_threshold(found: Thresholds, use: Array) -> float:
    """Return the threshold with the highest F1 on some responses, of several the lowest.

    Where they are all of one kind, the one with the highest accuracy. Minus infinity without any.
    """
    low, high, has_error = found.low[use], found.high[use], found.has_error[use]
    if not len(low):
        return -math.inf
    candidates = np.unique(high)  # as the intervals are open below, none is better than these
    shares = [
        _share_inside(candidates, low[kind], high[kind])
        for kind in (has_error, ~has_error)
        if kind.any()
    ]
    score = shares[0] if len(shares) == 1 else harmonic_mean(*shares)
    return float(candidates[np.argmax(score)])


def _share_inside(candidates: Array, low: Array, high: Array) -> Array:
    """Return the share of the intervals (low, high] that hold each candidate."""
    is_some = low < high  # an empty interval: no threshold judges that response rightly
    begun = np.searchsorted(np.sort(low[is_some]), candidates, "left")
    over = np.searchsorted(np.sort(high[is_some]), candidates, "left")
    return (begun - over) / len(low)


def harmonic_mean(a: Any, b: Any) -> Any:
    """Return 2ab / (a + b), 0 where both are 0."""
    total = np.asarray(a + b)
    return np.divide(2 * a * b, total, out=np.zeros(total.shape), where=total > 0)


def f1(right: Array, has_error: Array, problem: Array) -> Statistic:
    """Return the statistic: F1 of ProcessBench; NaN without both kinds of responses.

    Args:
        right: [R] bool, or 1 and 0: judged rightly.
        has_error: [R] bool.
        problem: [R] their problems.
    """

    def statistic(weights: Array) -> float:
        w = weights[problem].astype(np.float64)
        totals = w[has_error].sum(), w[~has_error].sum()
        if not all(totals):
            return math.nan
        return float(
            harmonic_mean(
                (w * right)[has_error].sum() / totals[0], (w * right)[~has_error].sum() / totals[1]
            )
        )

    return statistic
