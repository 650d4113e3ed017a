"""Scores of a judge with the interval of their mean, for the model card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_Z = 1.959964


@dataclass(frozen=True)
class JudgedScore:
    """A metric over n prompts or pairs.

    Attributes:
        name: of the metric.
        mean: over prompts, answers or pairs.
        low: lower end of the 95 % interval.
        high: upper end.
        n: how many there were.
    """

    name: str
    mean: float
    low: float
    high: float
    n: int


def judged_scores(scores: Mapping[str, Sequence[float]]) -> list[JudgedScore]:
    """Return every metric with its interval; those of a single value have none and are left out.

    Of zeros and ones it is Wilson's score interval, otherwise mean +- 1.96 standard errors.
    """
    return [_score(name, np.asarray(values)) for name, values in scores.items() if len(values) > 1]


def _score(name: str, values: np.ndarray) -> JudgedScore:
    n, mean = len(values), float(values.mean())
    if np.isin(values, (0.0, 1.0)).all():
        middle = (mean + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * np.sqrt(mean * (1 - mean) / n + _Z**2 / (4 * n**2))
    else:
        middle, half = mean, _Z * values.std(ddof=1) / np.sqrt(n)
    return JudgedScore(name, mean, float(middle - half), float(middle + half), n)
