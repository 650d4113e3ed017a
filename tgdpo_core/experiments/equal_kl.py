"""The best that tuning the baseline gives at a KL, and how other cells compare at the same KL.

Training longer, or with another learning rate, moves a policy further from its reference, and that
alone changes its score. So a setting is compared with the setting of the baseline that has the
highest score at the same distance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tgdpo_core.experiments.collection import Collection
from tgdpo_core.experiments.curves import at_matched_kl
from tgdpo_core.experiments.main_metric import MainMetric
from tgdpo_core.experiments.statistics import Difference, Estimate, estimate, paired_difference
from tgdpo_core.experiments.summary import CellSummary, baseline_variants

# Nats; those that nobody else reaches are left out.
LEVELS = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class BestAtKL:
    """The baseline's best cell at a KL, against which the others stand.

    Attributes:
        level: KL(policy || reference), nats.
        name: of the cell.
        score: its main metric there, over the seeds that reach the level.
        rivals: cell of another variant to its difference there; those that reach the level.
    """

    level: float
    name: str
    score: Estimate
    rivals: Mapping[str, Difference]


def best_at_equal_kl(
    collection: Collection, metric: MainMetric, summaries: Sequence[CellSummary]
) -> list[BestAtKL]:
    """Return the comparison at each KL that the baseline and another variant reach.

    A cell has a score at a KL for every seed whose KL reaches it, interpolated between the
    evaluations around it. Differences are over the seeds of both cells; those of one pair of cells
    may be fewer at a higher KL. Empty where the baseline is one cell.

    Args:
        collection: what was logged.
        metric: the main metric.
        summaries: of the cells.
    """
    variants = baseline_variants(summaries)
    tuned = [s.cell.name for s in summaries if s.cell.variant in variants]
    others = [s.cell.name for s in summaries if s.cell.variant not in variants]
    if len(tuned) < 2:
        return []
    found = [
        _at(level, _values(collection, metric, tuned, level), others_at, metric)
        for level in LEVELS
        if (others_at := _values(collection, metric, others, level))
    ]
    return [best for best in found if best is not None]


_Values = Mapping[str, Mapping[int, float]]


def _values(
    collection: Collection, metric: MainMetric, names: Sequence[str], level: float
) -> dict[str, dict[int, float]]:
    """Return cell to seed to the metric at a KL, of the cells that reach it."""
    at = {}
    for name in names:
        values, kl = collection.curve(name, metric.name), collection.curve(name, "judge/kl")
        if values and kl and (reached := at_matched_kl(values, kl, level)):
            at[name] = reached
    return at


def _at(level: float, tuned: _Values, others: _Values, metric: MainMetric) -> BestAtKL | None:
    """Return the best of the baseline's cells at a level, of those that most seeds reach it with.

    A cell that reaches the level with one lucky seed of four is not the best-tuned one.
    """
    if not tuned:
        return None
    most = max(map(len, tuned.values()))
    means = {
        name: found
        for name, values in tuned.items()
        if len(values) == most
        if (found := estimate(values))
    }
    sign = 1 if metric.higher_is_better else -1
    best = max(means, key=lambda name: sign * means[name].mean)
    rivals = {
        name: difference
        for name, values in others.items()
        if (difference := paired_difference(values, tuned[best]))
    }
    return BestAtKL(level, best, means[best], rivals) if rivals else None
