"""Statistics over seeds: means, paired differences, and what may be said about them."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
ONE_SEED = "undecided (one seed)"
_RESAMPLES = 9999


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: mean.
        standard_error: sample standard deviation / sqrt(n); None with one seed.
        n: seeds.
    """

    mean: float
    standard_error: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """A mean difference between two cells, paired by seed.

    Attributes:
        estimate: of the differences of the seeds that both cells have.
        low, high: 95 % bootstrap interval of the mean; None with one seed.
        p_value: two-sided, of Student's paired t-test; None with one seed.
    """

    estimate: Estimate
    low: float | None
    high: float | None
    p_value: float | None

    @property
    def verdict(self) -> str:
        """Return ``above``, ``below``, ``not distinguishable`` or ``ONE_SEED``.

        Above or below needs both: an interval without 0 and p < 0.05. The bootstrap of a handful
        of seeds is too narrow by itself: of normal samples its nominal 95 % interval covers the
        truth in 50 % of cases at n = 2, 75 % at 3, 80 % at 4, 88 % at 8; both together in 94-96 %.
        """
        if self.low is None or self.high is None or self.p_value is None:
            return ONE_SEED
        if self.low <= 0 <= self.high or self.p_value >= 1 - LEVEL:
            return "not distinguishable"
        return "above" if self.estimate.mean > 0 else "below"


def estimate(values: Mapping[int, float]) -> Estimate | None:
    """Return mean and standard error of one value per seed; None without a finite value."""
    finite = [value for value in values.values() if math.isfinite(value)]
    if not finite:
        return None
    n = len(finite)
    error = float(np.std(finite, ddof=1)) / n**0.5 if n > 1 else None
    return Estimate(float(np.mean(finite)), error, n)


def paired_difference(
    values: Mapping[int, float], baseline: Mapping[int, float]
) -> Difference | None:
    """Return the mean of ``values - baseline`` over common seeds; None where there is none.

    The interval is scipy's bias-corrected accelerated bootstrap; where that is not defined (a few
    seeds, equal differences) the percentiles of the same resamples. It is the same in every call.

    Args:
        values: one value per seed.
        baseline: one value per seed.
    """
    common = [seed for seed in values if seed in baseline]
    differences = {seed: values[seed] - baseline[seed] for seed in common}
    mean = estimate(differences)
    if mean is None:
        return None
    finite = np.array([d for d in differences.values() if math.isfinite(d)])
    if len(finite) == 1:
        return Difference(mean, None, None, None)
    if np.ptp(finite) == 0:  # neither the bootstrap nor the t-test is defined
        # Shares of a few prompts coincide in two seeds by chance, hardly in three.
        says_something = mean.mean != 0 and len(finite) > 2
        return Difference(mean, mean.mean, mean.mean, 0.0 if says_something else 1.0)
    low, high = _bootstrap(finite)
    return Difference(mean, low, high, _p_value(finite))


def _bootstrap(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    from scipy import stats

    for method in ("BCa", "percentile"):
        # Where BCa is not defined, scipy divides 0 by 0, warns and returns NaN.
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            interval = stats.bootstrap(
                (values,),
                np.mean,
                confidence_level=LEVEL,
                n_resamples=_RESAMPLES,
                method=method,
                rng=np.random.default_rng(0),
            ).confidence_interval
        if math.isfinite(interval.low) and math.isfinite(interval.high):
            break
    return float(interval.low), float(interval.high)


def _p_value(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    from scipy import stats

    with warnings.catch_warnings():  # nearly equal differences: p is 0 to working precision
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(stats.ttest_1samp(values, 0.0).pvalue)
