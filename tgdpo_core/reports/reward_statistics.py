"""Statistics of token rewards and token weights, over tokens and over responses. Arrays only."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tgdpo_core.scoring.rounding import Rounding

_Array = np.ndarray[Any, Any]

QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)


@dataclass(frozen=True)
class TokenValues:
    """Per-token values of one side of P pairs, flat.

    Attributes:
        values: [N] float32, response after response.
        lengths: [P] int64 number of tokens of each response; they sum to N.
    """

    values: _Array
    lengths: _Array

    def means(self) -> _Array:
        """Return [P] float64 means over the tokens of each response."""
        return self._sums(self.values) / np.maximum(self.lengths, 1)

    def effective_fractions(self) -> _Array:
        """Return [P] float64 (sum f)^2 / (n sum f^2) of each response, in [0, 1].

        1: all tokens count alike; 1/n: one token decides; 0: the weights cancel out.
        """
        squares = self.lengths * self._sums(self.values.astype(np.float64) ** 2)
        sums = self._sums(self.values)
        return np.divide(sums**2, squares, out=np.zeros_like(squares), where=squares > 0)

    def _sums(self, values: _Array) -> _Array:
        owner = np.repeat(np.arange(len(self.lengths)), self.lengths)
        return np.bincount(owner, weights=values, minlength=len(self.lengths))


@dataclass(frozen=True)
class RewardStatistics:
    """What one token reward looks like; over all response tokens unless said otherwise.

    Attributes:
        name: of the source, or of the sum of all sources.
        num_tokens: response tokens of both sides.
        mean: mean.
        std: standard deviation.
        rms: root mean square.
        max_abs: largest absolute value.
        mean_chosen: mean over chosen tokens.
        mean_rejected: mean over rejected tokens.
        nonzero_fraction: share of tokens with a reward that is not 0.
        pair_correlation: between the mean reward of the chosen and of the rejected response, over
            pairs; None where one of them does not vary.
        quantiles: probability to value.
        rounding: how far rounding moves the values, before transforms; None where not measured.
    """

    name: str
    num_tokens: int
    mean: float
    std: float
    rms: float
    max_abs: float
    mean_chosen: float
    mean_rejected: float
    nonzero_fraction: float
    pair_correlation: float | None
    quantiles: dict[float, float]
    rounding: Rounding | None = None

    @property
    def is_constant(self) -> bool:
        """Whether every token has the same reward."""
        return self.quantiles[0.0] == self.quantiles[1.0]


@dataclass(frozen=True)
class WeightStatistics:
    """The weights of one side.

    Attributes:
        mean: over tokens.
        std: over tokens.
        min: smallest weight.
        max: largest weight.
        negative_fraction: share of tokens with a weight below 0.
        effective_fraction: (sum f)^2 / (n sum f^2) of a response, mean over responses.
    """

    mean: float
    std: float
    min: float
    max: float
    negative_fraction: float
    effective_fraction: float

    @property
    def is_constant(self) -> bool:
        """Whether every token of the side has the same weight."""
        return self.min == self.max


def reward_statistics(name: str, chosen: TokenValues, rejected: TokenValues) -> RewardStatistics:
    """Return the statistics of a token reward of P >= 1 pairs."""
    values = np.concatenate([chosen.values, rejected.values])
    return RewardStatistics(
        name=name,
        num_tokens=len(values),
        mean=_mean(values),
        std=_std(values),
        rms=float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))),
        max_abs=float(np.abs(values).max()),
        mean_chosen=_mean(chosen.values),
        mean_rejected=_mean(rejected.values),
        nonzero_fraction=float(np.mean(values != 0)),
        pair_correlation=_correlation(chosen.means(), rejected.means()),
        quantiles=dict(zip(QUANTILES, np.quantile(values, QUANTILES).tolist(), strict=True)),
    )


def weight_statistics(weights: TokenValues) -> WeightStatistics:
    """Return the statistics of one side's weights."""
    return WeightStatistics(
        mean=_mean(weights.values),
        std=_std(weights.values),
        min=float(weights.values.min()),
        max=float(weights.values.max()),
        negative_fraction=float(np.mean(weights.values < 0)),
        effective_fraction=float(weights.effective_fractions().mean()),
    )


def _mean(values: _Array) -> float:
    return float(values.mean(dtype=np.float64))


def _std(values: _Array) -> float:
    return float(values.std(dtype=np.float64))


def _correlation(a: _Array, b: _Array) -> float | None:
    """Return Pearson's correlation of two [P] arrays; None where it is not defined."""
    # Means of equal rewards may differ by rounding; that is no variance.
    if any(np.ptp(x) <= 1e-9 * np.abs(x).max() for x in (a, b)):
        return None
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))
