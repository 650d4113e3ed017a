"""Everything that is measured of one token reward on marked responses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tgdpo_core.bench.calibration import (
    Reliability,
    brier_skill,
    calibration_error,
    error_chances,
    reliability,
)
from tgdpo_core.bench.first_error import cross_validated, f1, thresholds
from tgdpo_core.bench.ranking import auc, matched_auc, rank_correlation, wins, within_auc
from tgdpo_core.evaluation.intervals import Estimate, Statistic, estimate, weighted_share
from tgdpo_core.marks.tokens import ERROR, UNJUDGED, MarkedTokens

Array = np.ndarray[Any, Any]

StepValue = Literal["mean", "sum", "min", "last"]
STEP_VALUES: tuple[StepValue, ...] = ("mean", "sum", "min", "last")

MEASURES: Mapping[str, str] = {
    "token_auc": "token AUC",
    "step_auc": "step AUC",
    "matched_auc": "step AUC at the same step",
    "within_auc": "AUC within responses",
    "f1": "first-error F1",
    "error_accuracy": "accuracy with error",
    "correct_accuracy": "accuracy without",
    "lowest_accuracy": "lowest step is the first error",
    "pair_accuracy": "chosen above rejected, mean",
    "pair_sum_accuracy": "chosen above rejected, sum",
    "ece": "ECE",
    "raw_ece": "ECE of 1 - r",
    "brier_skill": "Brier skill",
    "length_correlation": "correlation with length",
}
"""Names in results.json to what tables say."""


@dataclass(frozen=True)
class Measures:
    """What was measured of one reward.

    Attributes:
        estimates: by the names of ``MEASURES``.
        signs: which signs it has: ``both``, ``never negative``, ``never positive``, ``zero``.
        positive_share, negative_share: of all tokens.
        rms: root mean square over all tokens.
        mean: over all tokens.
        thresholds: of the first error, one per fold; none where no other fold has a response.
        reliability: bins of the held-out chances of steps.
    """

    estimates: Mapping[str, Estimate]
    signs: str
    positive_share: float
    negative_share: float
    rms: float
    mean: float
    thresholds: Sequence[float]
    reliability: Sequence[Reliability]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON."""
        return {
            "estimates": {name: value.as_dict() for name, value in self.estimates.items()},
            "signs": self.signs,
            "positive_share": self.positive_share,
            "negative_share": self.negative_share,
            "rms": self.rms,
            "mean": self.mean,
            "thresholds": [t if np.isfinite(t) else str(t) for t in self.thresholds],
            "reliability": [vars(each) for each in self.reliability],
        }


def measure(
    values: Array,
    marks: MarkedTokens,
    folds: Array,
    weights: Array,
    *,
    step_value: StepValue,
    may_be_chances: bool,
) -> tuple[Measures, Statistic]:
    """Return what is measured of a reward, and its step AUC as a statistic, for differences.

    Args:
        values: [N] rewards of all tokens.
        marks: of the same tokens.
        folds: [P] fold of each problem.
        weights: [B, P] of the resamples.
        step_value: how the tokens of a step become its value.
        may_be_chances: whether values within [0, 1] are read as chances of being right, too.
    """
    values = np.asarray(values, dtype=np.float64)
    steps = step_values(values, marks, step_value)
    ranking = _ranking(values, steps, marks)
    first_error, chosen = _first_error(steps, marks, folds)
    calibration, bins = _calibration(steps, marks, folds)
    if not may_be_chances:
        calibration.pop("raw_ece", None)
    statistics = {**ranking, **first_error, **_responses(values, marks), **calibration}
    measures = Measures(
        estimates={
            name: estimate(statistics[name], weights) for name in MEASURES if name in statistics
        },
        signs=_signs(values),
        positive_share=float(np.mean(values > 0)),
        negative_share=float(np.mean(values < 0)),
        rms=float(np.sqrt(np.mean(values**2))),
        mean=float(values.mean()),
        thresholds=chosen,
        reliability=bins,
    )
    return measures, statistics["step_auc"]


def step_values(values: Array, marks: MarkedTokens, how: StepValue) -> Array:
    """Return [M] float64 values of steps; NaN for a step without a token."""
    if how == "mean":
        return marks.step_means(values)
    inside = np.flatnonzero(marks.token_steps >= 0)
    steps, num_steps = marks.token_steps[inside], len(marks.step_labels)
    result = np.full(num_steps, np.nan)
    if how == "last":
        result[steps] = values[inside]  # of several tokens the last one stays
    elif how == "min":
        result[np.unique(steps)] = np.inf
        np.minimum.at(result, steps, values[inside])
    else:
        result[np.unique(steps)] = 0
        np.add.at(result, steps, values[inside])
    return result


def _ranking(values: Array, steps: Array, marks: MarkedTokens) -> dict[str, Statistic]:
    """AUCs over what somebody judged; responses that are assumed to be right are left out."""
    response = marks.token_responses
    use = (marks.token_labels != UNJUDGED) & ~marks.is_assumed[response]
    judged = response[use]
    wrong = marks.token_labels[use] == ERROR
    use_steps = judged_steps(steps, marks)
    of_steps = (
        steps[use_steps],
        marks.step_labels[use_steps] == ERROR,
        marks.problem[marks.step_responses[use_steps]],
    )
    return {
        "token_auc": auc(values[use], wrong, marks.problem[judged]),
        "step_auc": auc(*of_steps),
        "matched_auc": matched_auc(*of_steps[:2], marks.step_numbers[use_steps], of_steps[2]),
        "within_auc": within_auc(values[use], wrong, judged, marks.problem),
    }


def judged_steps(steps: Array, marks: MarkedTokens) -> Array:
    """Return [M] bool: the steps that have a value and were judged."""
    is_judged = marks.step_labels != UNJUDGED
    return is_judged & np.isfinite(steps) & ~marks.is_assumed[marks.step_responses]


def _first_error(
    steps: Array, marks: MarkedTokens, folds: Array
) -> tuple[dict[str, Statistic], list[float]]:
    found = thresholds(steps, marks.step_responses, marks.first_error, marks.problem)
    right, chosen = cross_validated(found, folds)
    is_judged, wrong = np.isfinite(right), found.has_error
    right_j, wrong_j, problem_j = right[is_judged], wrong[is_judged], found.problem[is_judged]
    return {
        "f1": f1(right_j, wrong_j, problem_j),
        "error_accuracy": weighted_share(right_j[wrong_j], problem_j[wrong_j]),
        "correct_accuracy": weighted_share(right_j[~wrong_j], problem_j[~wrong_j]),
        "lowest_accuracy": weighted_share(found.lowest_hits[wrong], found.problem[wrong]),
    }, chosen


def _responses(values: Array, marks: MarkedTokens) -> dict[str, Statistic]:
    response = marks.token_responses
    sums = np.bincount(response, weights=values, minlength=len(marks.lengths))
    means = sums / np.maximum(marks.lengths, 1)
    chosen, rejected = marks.pairs.T
    problem = marks.problem[chosen]
    return {
        "pair_accuracy": wins(means[chosen], means[rejected], problem),
        "pair_sum_accuracy": wins(sums[chosen], sums[rejected], problem),
        "length_correlation": rank_correlation(means, marks.lengths, marks.problem),
    }


def _calibration(
    steps: Array, marks: MarkedTokens, folds: Array
) -> tuple[dict[str, Statistic], list[Reliability]]:
    use = judged_steps(steps, marks)
    values, wrong = steps[use], marks.step_labels[use] == ERROR
    problem = marks.problem[marks.step_responses[use]]
    chances = error_chances(values, wrong, problem, folds)
    fitted = np.isfinite(chances)
    chances, wrong_f, problem_f = chances[fitted], wrong[fitted], problem[fitted]
    found = {
        "ece": calibration_error(chances, wrong_f, problem_f),
        "brier_skill": brier_skill(chances, wrong_f, problem_f),
    }
    looks_like_chances = len(values) and values.min() >= 0 and values.max() <= 1
    if looks_like_chances and np.ptp(values) > 0:
        found["raw_ece"] = calibration_error(1 - values, wrong, problem)
    return found, reliability(chances, wrong_f)


def _signs(values: Array) -> str:
    has_positive, has_negative = bool((values > 0).any()), bool((values < 0).any())
    if has_positive and has_negative:
        return "both"
    if has_positive:
        return "never negative"
    return "never positive" if has_negative else "zero"
