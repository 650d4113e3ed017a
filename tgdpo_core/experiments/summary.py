"""One summary per cell: how good at its peak and at the end, and the difference to its baseline."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tgdpo_core.experiments.collection import Cell, Collection
from tgdpo_core.experiments.curves import KL_LEVELS, Curve, at_matched_kl
from tgdpo_core.experiments.main_metric import MainMetric
from tgdpo_core.experiments.statistics import Difference, Estimate, estimate, paired_difference

# Training metrics of the log that say how the weights act -> what tables call them.
DIAGNOSTICS = {
    "weighted/label_free_share": "label-free share",
    "weighted/swap_violation": "swap violation",
    "weights/mean_ratio": "mean f_w / mean f_l",
    "weights/effective_fraction": "effective fraction",
    "token_reward/error_auc_rejected": "AUC at errors, rejected",
    "token_reward/error_auc_chosen": "AUC at errors, chosen",
    "rewards/accuracies": "accuracy",
    "rewards/margins": "margin",
}


@dataclass(frozen=True)
class Moment:
    """The main metric at one moment of training.

    Attributes:
        epoch: when.
        values: seed to value.
        difference: to the baseline at its own such moment; None for the baseline itself.
    """

    epoch: float
    values: dict[int, float]
    difference: Difference | None

    @property
    def estimate(self) -> Estimate:
        """Mean over seeds."""
        found = estimate(self.values)
        assert found is not None  # a moment is made of finite values
        return found


@dataclass(frozen=True)
class CellSummary:
    """What there is to say about one cell.

    Attributes:
        cell: its first run.
        seeds: of the finished runs.
        planned: number of runs in the grid.
        start: main metric before training; None where it was not measured.
        peak: at the epoch whose mean over seeds is best; None without evaluations.
        end: at the last epoch.
        mean_f_w: mean weight of chosen tokens, at the end of training as all that follow.
        mean_f_l: mean weight of rejected tokens.
        kl: KL(policy || reference) in nats.
        displacement: change of the chosen log-probability against the reference.
        loss: training loss.
        diagnostics: those of ``DIAGNOSTICS`` that were logged.
    """

    cell: Cell
    seeds: Sequence[int]
    planned: int
    start: Estimate | None
    peak: Moment | None
    end: Moment | None
    mean_f_w: Estimate | None
    mean_f_l: Estimate | None
    kl: Estimate | None
    displacement: Estimate | None
    loss: Estimate | None
    diagnostics: Mapping[str, Estimate]


@dataclass(frozen=True)
class Rival:
    """A cell against the best cell of the baseline's variant.

    Attributes:
        name: of the cell.
        peak: difference to the baseline cell with the best peak.
        end: difference to the baseline cell with the best end.
    """

    name: str
    peak: Difference | None
    end: Difference | None


@dataclass(frozen=True)
class BestBaseline:
    """The best that tuning the baseline gives, and how the other cells compare.

    Attributes:
        peak: name of the cell with the best peak.
        end: name of the cell with the best end.
        rivals: the cells of other variants.
    """

    peak: str
    end: str
    rivals: Sequence[Rival]


@dataclass(frozen=True)
class MatchedKL:
    """The main metric of a cell where its KL first reaches each of ``KL_LEVELS``.

    Attributes:
        name: of the cell.
        num_seeds: finished.
        values: one estimate per level, over the seeds that reach it.
        differences: to the baseline at the same level.
    """

    name: str
    num_seeds: int
    values: Sequence[Estimate | None]
    differences: Sequence[Difference | None]


def summarize(collection: Collection, metric: MainMetric | None) -> list[CellSummary]:
    """Return one summary per cell with a finished run, in the order of the grid."""
    return [
        _summary(collection, metric, name) for name in collection.names if collection.finished[name]
    ]


def baseline_variants(summaries: Sequence[CellSummary]) -> set[str]:
    """Return the variants of the cells that others are compared with."""
    named = {summary.cell.baseline for summary in summaries}
    return {s.cell.variant for s in summaries if s.cell.name in named}


def best_baseline(summaries: Sequence[CellSummary], metric: MainMetric) -> BestBaseline | None:
    """Return the comparison with the baseline's best cells; None where it has only one cell."""
    variants = baseline_variants(summaries)
    measured = [s for s in summaries if s.peak and s.end]
    tuned = [s for s in measured if s.cell.variant in variants]
    if len(tuned) < 2:
        return None
    sign = 1 if metric.higher_is_better else -1
    best_peak = max(tuned, key=lambda s: sign * _mean(s.peak))
    best_end = max(tuned, key=lambda s: sign * _mean(s.end))
    rivals = [
        Rival(s.cell.name, _between(s.peak, best_peak.peak), _between(s.end, best_end.end))
        for s in measured
        if s.cell.variant not in variants
    ]
    return BestBaseline(best_peak.cell.name, best_end.cell.name, rivals)


def matched_kl(
    collection: Collection, metric: MainMetric, summaries: Sequence[CellSummary]
) -> list[MatchedKL]:
    """Return the main metric at equal KL for every cell that logged one."""
    at: dict[str, list[dict[int, float]]] = {}
    for summary in summaries:
        name = summary.cell.name
        values, kl = collection.curve(name, metric.name), collection.curve(name, "judge/kl")
        if values and kl:
            at[name] = [at_matched_kl(values, kl, level) for level in KL_LEVELS]
    nowhere: list[dict[int, float]] = [{} for _ in KL_LEVELS]
    rows = []
    for name, levels in at.items():
        baseline = collection.first[name].baseline
        other = nowhere if baseline in (None, name) else at.get(str(baseline), nowhere)
        differences = [paired_difference(a, b) for a, b in zip(levels, other, strict=True)]
        means = [estimate(values) for values in levels]
        rows.append(MatchedKL(name, len(collection.finished[name]), means, differences))
    return rows


def _summary(collection: Collection, metric: MainMetric | None, name: str) -> CellSummary:
    def at_end(column: str) -> Estimate | None:
        window = collection.curve(name, column)  # up to the last evaluation, if there is one
        curve = window or collection.curve(name, column, training=True)
        return curve.estimates()[-1] if curve else None

    cell = collection.first[name]
    curve = collection.curve(name, metric.name) if metric else None
    baseline = None
    if metric and cell.baseline and cell.baseline != name:
        baseline = collection.curve(cell.baseline, metric.name)
    higher = metric is None or metric.higher_is_better
    return CellSummary(
        cell=cell,
        seeds=collection.finished[name],
        planned=sum(other.name == name for other in collection.cells),
        start=estimate(curve.at(0.0)) if curve and 0.0 in curve.epochs else None,
        peak=_moment(curve, baseline, lambda c: c.peak(higher_is_better=higher)),
        end=_moment(curve, baseline, lambda c: c.epochs[-1]),
        mean_f_w=at_end("weights/mean_chosen"),
        mean_f_l=at_end("weights/mean_rejected"),
        kl=at_end("judge/kl"),
        displacement=at_end("logps/chosen_delta"),
        loss=at_end("loss"),
        diagnostics={name: found for name in DIAGNOSTICS if (found := at_end(name))},
    )


def _moment(
    curve: Curve | None, baseline: Curve | None, when: Callable[[Curve], float | None]
) -> Moment | None:
    """Return a cell at one moment, against its baseline at its own."""
    if curve is None or (epoch := when(curve)) is None:
        return None
    values = curve.at(epoch)
    theirs = when(baseline) if baseline else None
    difference = None
    if baseline is not None and theirs is not None:
        difference = paired_difference(values, baseline.at(theirs))
    return Moment(epoch, values, difference)


def _between(one: Moment | None, other: Moment | None) -> Difference | None:
    return paired_difference(one.values, other.values) if one and other else None


def _mean(moment: Moment | None) -> float:
    assert moment is not None  # the caller keeps cells with both moments
    return moment.estimate.mean
