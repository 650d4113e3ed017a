"""Curves of one cell: a metric over training for every seed, and what is read off them."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tgdpo_core.experiments.statistics import Estimate, estimate

# KL(policy || reference) in nats at which cells are compared.
KL_LEVELS = (0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class Curve:
    """A metric over the evaluations of a cell.

    Attributes:
        epochs: of the evaluations that every seed has, ascending.
        values: seed to one value per epoch.
    """

    epochs: Sequence[float]
    values: Mapping[int, Sequence[float]]

    def __post_init__(self) -> None:
        """Hold that every seed has one value per epoch."""
        assert all(len(values) == len(self.epochs) for values in self.values.values())

    def at(self, epoch: float) -> dict[int, float]:
        """Return seed to value at an epoch of the curve."""
        index = list(self.epochs).index(epoch)
        return {seed: values[index] for seed, values in self.values.items()}

    def estimates(self) -> list[Estimate | None]:
        """Return mean and standard error over seeds for every epoch."""
        return [estimate(self.at(epoch)) for epoch in self.epochs]

    def peak(self, *, higher_is_better: bool) -> float | None:
        """Return the epoch at which the mean over seeds is best; None without a trained epoch.

        One epoch for all seeds: the mean of each seed's own best would be biased upwards by the
        choice. The evaluation before training does not count.
        """
        means = {
            epoch: found.mean
            for epoch, found in zip(self.epochs, self.estimates(), strict=True)
            if epoch > 0 and found is not None
        }
        if not means:
            return None
        best = max(means.values()) if higher_is_better else min(means.values())
        return next(epoch for epoch, mean in means.items() if mean == best)


def at_matched_kl(metric: Curve, kl: Curve, level: float) -> dict[int, float]:
    """Return seed to the metric where the seed's KL first reaches ``level``.

    Linear interpolation over KL between the evaluation before the crossing and the one after it;
    seeds whose KL never reaches the level are left out.

    Args:
        metric: the metric.
        kl: KL(policy || reference) in nats; a seed without it is left out, too.
        level: nats.
    """
    epochs = [epoch for epoch in metric.epochs if epoch in kl.epochs]
    reached = {}
    for seed in metric.values.keys() & kl.values.keys():
        points = [(kl.at(epoch)[seed], metric.at(epoch)[seed]) for epoch in epochs]
        value = _first_crossing(points, level)
        if value is not None:
            reached[seed] = value
    return dict(sorted(reached.items()))


def _first_crossing(points: Sequence[tuple[float, float]], level: float) -> float | None:
    finite = [point for point in points if all(map(math.isfinite, point))]
    for (kl, value), (next_kl, next_value) in itertools.pairwise(finite):
        if kl <= level <= next_kl and next_kl > kl:
            return value + (next_value - value) * (level - kl) / (next_kl - kl)
    return None
