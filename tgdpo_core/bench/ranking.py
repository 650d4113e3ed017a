"""Do low values mark errors? Areas under ROC curves, weighted by problem."""

import math
from typing import Any

import numpy as np
from scipy import stats

from tgdpo_core.evaluation.intervals import Statistic, weighted_share

Array = np.ndarray[Any, Any]


def auc(values: Array, is_error: Array, problem: Array) -> Statistic:
    """Return the statistic: chance that an error has a lower value than what is right.

    Both are drawn from all problems, in proportion to the problems' weights; ties count half; 0.5
    is chance. NaN without both kinds.

    Args:
        values: [n] finite.
        is_error: [n] bool.
        problem: [n] the problem of each.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    errors, owners = np.asarray(is_error, dtype=bool)[order], problem[order]

    def area(weights: Array) -> float:
        w = weights[owners].astype(np.float64)
        wrong = np.add.reduceat(np.where(errors, w, 0.0), starts) if len(w) else w
        right = np.add.reduceat(np.where(errors, 0.0, w), starts) if len(w) else w
        total = wrong.sum() * right.sum()
        above = right.sum() - np.cumsum(right)
        return float((wrong * (above + right / 2)).sum() / total) if total else math.nan

    return area


def matched_auc(values: Array, is_error: Array, stratum: Array, problem: Array) -> Statistic:
    """Return the statistic: the AUC over pairs of an error and what is right in one stratum.

    With the number of the step as stratum, knowing that errors are late is worth nothing.

    Args:
        values: [n] finite.
        is_error: [n] bool.
        stratum: [n] only things of equal strata are compared.
        problem: [n] the problem of each.
    """
    wrong = np.asarray(is_error, dtype=bool)
    parts = []
    for each in np.unique(stratum):
        inside = np.flatnonzero(stratum == each)
        if wrong[inside].any() and not wrong[inside].all():
            parts.append((auc(values[inside], wrong[inside], problem[inside]), inside))

    def area(weights: Array) -> float:
        total = pairs = 0.0
        for statistic, inside in parts:
            w = weights[problem[inside]]
            num_pairs = float(w[wrong[inside]].sum() * w[~wrong[inside]].sum())
            if num_pairs:
                total += num_pairs * statistic(weights)
                pairs += num_pairs
        return total / pairs if pairs else math.nan

    return area


def within_auc(values: Array, is_error: Array, response: Array, problem: Array) -> Statistic:
    """Return the statistic: the mean over responses of the AUC inside each.

    It compares an error with what is right in the same response only, as token weights do. Those
    without both kinds have none.

    Args:
        values: [n] finite.
        is_error: [n] bool.
        response: [n] the response of each, ascending.
        problem: [R] the problem of each response.
    """
    areas, owners = [], []
    bounds = np.flatnonzero(np.diff(response, prepend=-1)) if len(response) else np.zeros(0, int)
    for start, end in zip(bounds, [*bounds[1:], len(response)], strict=True):
        wrong = np.asarray(is_error[start:end], dtype=bool)
        num_wrong, num_right = int(wrong.sum()), int((~wrong).sum())
        if num_wrong and num_right:
            ranks = stats.rankdata(-values[start:end])
            above = ranks[wrong].sum() - num_wrong * (num_wrong + 1) / 2
            areas.append(above / (num_wrong * num_right))
            owners.append(problem[response[start]])
    return weighted_share(np.array(areas), np.array(owners, dtype=np.int64))


def wins(chosen: Array, rejected: Array, problem: Array) -> Statistic:
    """Return the statistic: share of pairs whose chosen value is higher; ties count half.

    Args:
        chosen: [K] of the chosen responses.
        rejected: [K] of the rejected ones.
        problem: [K] their problems.
    """
    return weighted_share((chosen > rejected) + 0.5 * (chosen == rejected), problem)


def rank_correlation(a: Array, b: Array, problem: Array) -> Statistic:
    """Return the statistic: Spearman's correlation; NaN where one of them does not vary.

    The ranks are those of all problems in every resample.
    """
    ranks_a, ranks_b = stats.rankdata(a), stats.rankdata(b)

    def correlation(weights: Array) -> float:
        w = weights[problem].astype(np.float64)
        if not w.sum():
            return math.nan
        x = ranks_a - np.average(ranks_a, weights=w)
        y = ranks_b - np.average(ranks_b, weights=w)
        spread = math.sqrt((w * x * x).sum() * (w * y * y).sum())
        return float((w * x * y).sum() / spread) if spread > 0 else math.nan

    return correlation
