"""Results in words: the findings, the notes below a table, and how numbers are written."""

from collections.abc import Sequence
from typing import Literal

from tgdpo_core.experiments.equal_kl import BestAtKL
from tgdpo_core.experiments.main_metric import MainMetric
from tgdpo_core.experiments.statistics import ONE_SEED, Difference, Estimate
from tgdpo_core.experiments.summary import BestBaseline, CellSummary

_MINUS = "\N{MINUS SIGN}"
_NOTHING = "\N{EN DASH}"
_MOST_NAMES = 3
_MOST_UNCLEAR = 10  # these stand without numbers
_AGAINST = {
    "above": " the baseline",
    "below": " the baseline",
    "not distinguishable": " from the baseline",
    ONE_SEED: "",
}
_Moment = Literal["peak", "end"]


def number(value: float | None, *, sign: bool = False, digits: int = 3) -> str:
    """Return a number with so many digits after the point, as people read it."""
    if value is None:
        return _NOTHING
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", _MINUS)


def with_error(found: Estimate | None) -> str:
    """Return ``mean +- standard error``; the mean alone with one seed."""
    if found is None or found.standard_error is None:
        return number(found.mean if found else None)
    return f"{number(found.mean)} \N{PLUS-MINUS SIGN} {found.standard_error:.3f}"


def with_interval(found: Difference | None) -> str:
    """Return ``difference [low, high]``; the difference alone with one seed."""
    if found is None:
        return _NOTHING
    mean = number(found.estimate.mean, sign=True)
    if found.low is None:
        return mean
    return f"{mean} [{number(found.low, sign=True)}, {number(found.high, sign=True)}]"


def epoch(value: float) -> str:
    """Return an epoch without needless digits."""
    return f"{value:.4g}"


def verdict(summary: CellSummary, metric: MainMetric) -> str:
    """Return what may be said about a cell and its baseline, at the peak and at the end."""
    if summary.cell.baseline == summary.cell.name:
        return "is the baseline"
    peak = summary.peak.difference if summary.peak else None
    end = summary.end.difference if summary.end else None
    if peak is None or end is None:
        return "no common seed with the baseline" if summary.cell.baseline else "no baseline"
    if peak.verdict == end.verdict:
        return _judged(peak.verdict, metric)
    return f"peak {_judged(peak.verdict, metric)}, end {_judged(end.verdict, metric)}"


def findings(
    summaries: Sequence[CellSummary],
    metric: MainMetric | None,
    best: BestBaseline | None,
    num_unfinished: int,
) -> list[str]:
    """Return the headline first, then further sentences."""
    missing = []
    if num_unfinished:
        missing = [
            f"{num_unfinished} {_plural('run', num_unfinished)} without a result: see below."
        ]
    if not summaries:
        return ["No run of this ablation is finished yet.", *missing]
    if metric is None:
        nothing = "Nothing was evaluated in every finished run, so no cell can be called better"
        advice = "give the recipe data.eval_path, or a judging section."
        return [f"{nothing}: {advice}", *missing]
    measured = [s for s in summaries if s.peak and s.end]
    if not measured:
        return ["No cell was evaluated after training began.", *missing]
    moments = _moments(measured)
    sentences = [one for at in moments for one in _against_baseline(measured, metric, at)]
    sentences += [_best_cell(measured, metric)]
    sentences += [_against_best(best, metric, at) for at in moments if best]
    return [*dict.fromkeys(sentences), *missing]  # of one seed the same is said at both moments


def notes(metric: MainMetric | None, num_compared: int) -> list[str]:
    """Return how the numbers were made, one sentence or two each."""
    main = [f"Main metric {metric.name}: {metric.meaning}."] if metric else []
    return [
        *main,
        "\N{PLUS-MINUS SIGN} is the standard error over seeds.",
        "Peak: the evaluation after training began whose mean over seeds is best, the same one "
        "for all seeds of a cell (in brackets: its epoch); still slightly optimistic, for it is "
        "chosen on the same evaluations. End: the last evaluation.",
        "Differences are paired by seed, each cell at its own peak or end; in brackets the 95 % "
        "bootstrap interval (of one seed there is none).",
        "Above or below: the interval excludes 0 and the paired t-test has p < 0.05. With few "
        "seeds the interval alone is too narrow (two seeds: it covers the truth half the time).",
        "At equal KL: where the KL of a seed first reaches the level (in nats), interpolated "
        "between evaluations; differences are to the baseline at the same KL, which is a "
        "Monte-Carlo estimate on sampled answers.",
        f"Compared with a baseline: {num_compared} {_plural('cell', num_compared)}; there is no "
        "correction for the number of comparisons.",
        "f_w, f_l, log-probability change, training loss and the diagnostics are means over the "
        "training pairs since the evaluation before the last one (without evaluations: of the last "
        "log row). Losses of different weights cannot be compared.",
        "Diagnostics: with z the weighted margin of a pair and z' that of the pair with its labels "
        "exchanged, the swap violation is the mean |z + z'| and the label-free share is "
        f"sum |z + z'| / (sum |z + z'| + sum |z {_MINUS} z'|); both are 0 in plain DPO. The "
        "effective fraction of a response of T tokens, (sum f)^2 / (T sum f^2), is 1 where all its "
        "weights are equal. Accuracy and margin are unweighted, on training pairs.",
    ]


def _judged(found: str, metric: MainMetric) -> str:
    if metric.higher_is_better:
        return found
    return {"above": "above (worse)", "below": "below (better)"}.get(found, found)


def _against_baseline(
    summaries: Sequence[CellSummary], metric: MainMetric, moment: _Moment
) -> list[str]:
    """Return how many cells differ from the baseline at a moment, then which."""
    moments = [(s.cell.name, s.peak if moment == "peak" else s.end) for s in summaries]
    found = [(name, at.difference) for name, at in moments if at and at.difference]
    found.sort(key=lambda pair: -abs(pair[1].estimate.mean))
    groups: dict[str, list[str]] = {}
    for name, difference in found:
        clear = difference.verdict in ("above", "below")
        text = f"{name} ({with_interval(difference)})" if clear else name
        groups.setdefault(difference.verdict, []).append(text)
    if not found:
        return []
    if list(groups) == [ONE_SEED]:
        return ["One seed: no statement about any difference is possible."]
    named = [verdict for verdict in _AGAINST if verdict in groups]
    counts = [f"{len(groups[name])} {_judged(name, metric)}{_AGAINST[name]}" for name in named]
    lists = [
        f"{_judged(name, metric).capitalize()} at the {moment}: "
        f"{_listed(groups[name], _MOST_NAMES if name in ('above', 'below') else _MOST_UNCLEAR)}."
        for name in named
    ]
    cells = f"{len(found)} {_plural('cell', len(found))}"
    return [f"Of {cells} compared at the {moment}: {', '.join(counts)}.", *lists]


def _listed(names: Sequence[str], most: int = _MOST_NAMES) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - most
    return "; ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _best_cell(summaries: Sequence[CellSummary], metric: MainMetric) -> str:
    sign = 1 if metric.higher_is_better else -1

    def score(summary: CellSummary) -> float:
        assert summary.peak is not None
        return sign * summary.peak.estimate.mean

    top = max(summaries, key=score)
    assert top.peak is not None
    assert top.end is not None
    return (
        f"The best peak is {with_error(top.peak.estimate)} ({metric.label}; {top.cell.name}, epoch "
        f"{epoch(top.peak.epoch)}); at its end, epoch {epoch(top.end.epoch)}, that cell is at "
        f"{with_error(top.end.estimate)}."
    )


def _against_best(best: BestBaseline, metric: MainMetric, moment: _Moment) -> str:
    better = "above" if metric.higher_is_better else "below"
    name, against = best.end, [(rival.name, rival.end) for rival in best.rivals]
    if moment == "peak":
        name, against = best.peak, [(rival.name, rival.peak) for rival in best.rivals]
    winners = [
        f"{rival} ({with_interval(found)})"
        for rival, found in against
        if found and found.verdict == better
    ]
    beaten = "beaten by " + _listed(winners) if winners else "beaten by no other variant"
    return f"The best-tuned baseline at the {moment}, {name}, is {beaten}."


AT_EQUAL_KL = (
    "The best-tuned baseline at a KL is, of its cells that the most seeds reach the level "
    "with, the one with the best mean there; chosen on the same evaluations, it is slightly "
    "optimistic."
)


def at_equal_kl(found: Sequence[BestAtKL], metric: MainMetric) -> list[str]:
    """Return in one sentence which cells beat the baseline's best cell at each KL."""
    better = "above" if metric.higher_is_better else "below"
    beaten: dict[str, list[str]] = {}
    for best in found:
        winners = [
            f"{name} ({with_interval(difference)})"
            for name, difference in best.rivals.items()
            if difference.verdict == better
        ]
        by = _listed(winners) if winners else "no other variant"
        beaten.setdefault(by, []).append(f"{best.level:g}")
    parts = [f"at KL {', '.join(levels)} by {by}" for by, levels in beaten.items()]
    return [f"The best-tuned baseline is beaten {'; '.join(parts)}."] if parts else []


def _moments(measured: Sequence[CellSummary]) -> Sequence[_Moment]:
    """Return peak and end; the end alone where every cell's peak is its end."""
    differ = any(s.peak.epoch != s.end.epoch for s in measured if s.peak and s.end)
    return ("peak", "end") if differ else ("end",)


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
