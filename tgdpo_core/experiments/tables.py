"""The tables of an ablation as rows of text, for results.md and report.html alike."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tgdpo_core.experiments.collection import Unfinished
from tgdpo_core.experiments.curves import KL_LEVELS
from tgdpo_core.experiments.equal_kl import BestAtKL
from tgdpo_core.experiments.main_metric import MainMetric
from tgdpo_core.experiments.statistics import Difference, Estimate
from tgdpo_core.experiments.summary import (
    DIAGNOSTICS,
    BestBaseline,
    CellSummary,
    MatchedKL,
    Moment,
)
from tgdpo_core.experiments.wording import epoch, number, verdict, with_error, with_interval
from tgdpo_core.reports.visible import escaped

_MINUS = "\N{MINUS SIGN}"
_NUMBER = re.compile(rf"[+{_MINUS}-]?\d|{re.escape(number(None))}|$")


def markdown_text(text: str) -> str:
    """Return text as one line of Markdown that opens no tag, no code and no table column."""
    line = escaped(" ".join(text.split()))
    for mark in "\\|<`":
        line = line.replace(mark, "\\" + mark)
    return line


@dataclass(frozen=True)
class Table:
    """Text in rows and columns.

    Attributes:
        title: heading.
        columns: their names.
        rows: one text per column.
        marks: one per row, ``better``, ``worse`` or empty; none at all where nothing is marked.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    marks: Sequence[str] = ()

    def records(self) -> list[dict[str, str]]:
        """Return the rows, each as column to text."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    @property
    def number_columns(self) -> set[int]:
        """Columns in which every cell begins with a number or is empty, and one has a number."""
        return {
            at
            for at, texts in enumerate(zip(*self.rows, strict=True))
            if all(map(_NUMBER.match, texts)) and any(map(str.isdigit, "".join(texts)))
        }

    def markdown(self) -> str:
        """Return the table in GitHub's form; nothing in a cell can end it."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(map(markdown_text, line))} |" for line in lines)


def main_table(summaries: Sequence[CellSummary], metric: MainMetric | None) -> Table:
    """Return the one table that shows it all."""
    label = metric.label if metric else "metric"
    columns = (
        "cell",
        "seeds",
        f"peak: {label} (epoch)",
        f"end: {label}",
        "peak \N{MINUS SIGN} baseline",
        "end \N{MINUS SIGN} baseline",
        "against the baseline",
        "compared with",
        "mean f_w / f_l",
        "KL at end",
        "chosen log-prob. change",
        "loss at end",
    )
    rows = [_main_row(summary, metric) for summary in summaries]
    return Table("Results", columns, rows, [_mark(summary, metric) for summary in summaries])


def best_baseline_table(best: BestBaseline) -> Table:
    """Return the other variants against the baseline's best cells."""
    columns = (
        "cell",
        f"peak \N{MINUS SIGN} {best.peak}",
        "verdict, peak",
        f"end \N{MINUS SIGN} {best.end}",
        "verdict, end",
    )
    rows = []
    for rival in best.rivals:
        peak, end = rival.peak, rival.end
        rows.append(
            (
                rival.name,
                with_interval(peak),
                peak.verdict if peak else "no common seed",
                with_interval(end),
                end.verdict if end else "no common seed",
            )
        )
    return Table("Against the best-tuned baseline", columns, rows)


def matched_kl_table(matched: Sequence[MatchedKL], metric: MainMetric) -> Table:
    """Return the main metric at equal KL, with the seeds that reach it."""
    columns = ["cell"]
    for level in KL_LEVELS:
        columns += [f"{metric.label} at KL {level:g}", f"difference at KL {level:g}"]
    rows = []
    for row in matched:
        texts = [row.name]
        for value, difference in zip(row.values, row.differences, strict=True):
            few = (
                f" ({value.n} of {row.num_seeds} seeds)"
                if value and value.n < row.num_seeds
                else ""
            )
            texts += [with_error(value) + few, with_interval(difference)]
        rows.append(texts)
    return Table("At equal KL(policy || reference)", columns, rows)


def best_at_kl_table(found: Sequence[BestAtKL], metric: MainMetric) -> Table:
    """Return the other variants against the baseline's best cell at each KL, a row each."""
    names = list(dict.fromkeys(name for best in found for name in best.rivals))
    columns = ["cell"]
    for best in found:
        where = f"KL {best.level:g}: {best.name} ({metric.label} {with_error(best.score)})"
        columns += [f"{_MINUS} {where}", f"verdict, KL {best.level:g}"]
    rows = []
    for name in names:
        texts = [name]
        for best in found:
            difference = best.rivals.get(name)
            few = (
                f" ({difference.estimate.n} seeds)"
                if difference and _lacks(best, difference)
                else ""
            )
            texts += [with_interval(difference) + few, difference.verdict if difference else ""]
        rows.append(texts)
    return Table("Against the best-tuned baseline at equal KL", columns, rows)


def _lacks(best: BestAtKL, difference: Difference) -> bool:
    """Return whether a difference is over fewer seeds than the baseline has there."""
    return difference.estimate.n < best.score.n


def diagnostics_table(summaries: Sequence[CellSummary]) -> Table | None:
    """Return how the weights acted at the end of training; None where nothing of it was logged."""
    logged = [name for name in DIAGNOSTICS if any(name in s.diagnostics for s in summaries)]
    if not logged:
        return None
    rows = [[s.cell.name, *(_mean(s.diagnostics.get(name)) for name in logged)] for s in summaries]
    columns = ["cell", *(DIAGNOSTICS[name] for name in logged)]
    return Table("Diagnostics at the end of training", columns, rows)


def unfinished_table(unfinished: Sequence[Unfinished]) -> Table:
    """Return the runs without a result, and why; the first line of what each said."""
    rows = [
        (run.cell.name, str(run.cell.seed), next(iter(run.reason.splitlines()), "no message"))
        for run in unfinished
    ]
    return Table("Runs without a result", ("cell", "seed", "why"), rows)


def settings_table(summaries: Sequence[CellSummary]) -> Table:
    """Return the settings of the cells."""
    names = list(dict.fromkeys(name for s in summaries for name in s.cell.settings))
    rows = [
        [s.cell.name, *(_setting(s.cell.settings.get(name)) for name in names)] for s in summaries
    ]
    return Table("Settings", ["cell", *names], rows)


def _main_row(summary: CellSummary, metric: MainMetric | None) -> Sequence[str]:
    n, planned = len(summary.seeds), summary.planned
    weights = [_mean(found, digits=2) for found in (summary.mean_f_w, summary.mean_f_l)]
    return (
        summary.cell.name + (" (control)" if summary.cell.control else ""),
        str(n) if n == planned else f"{n} of {planned}",
        _moment(summary.peak, with_epoch=True),
        _moment(summary.end),
        with_interval(summary.peak.difference if summary.peak else None),
        with_interval(summary.end.difference if summary.end else None),
        verdict(summary, metric) if metric else "not evaluated",
        _compared_with(summary),
        " / ".join(weights),
        _mean(summary.kl, digits=2),
        _mean(summary.displacement, sign=True, digits=2),
        _mean(summary.loss),
    )


def _compared_with(summary: CellSummary) -> str:
    """Return the baseline that the differences of a cell are taken to."""
    other = summary.cell.baseline
    return other if other and other != summary.cell.name else number(None)


def _mark(summary: CellSummary, metric: MainMetric | None) -> str:
    """Return whether a cell is better or worse where it differs; empty if it is both or neither."""
    moments = (summary.peak, summary.end)
    verdicts = {moment.difference.verdict for moment in moments if moment and moment.difference}
    found = verdicts & {"above", "below"}
    if metric is None or len(found) != 1:
        return ""
    return "better" if ("above" in found) == metric.higher_is_better else "worse"


def _moment(moment: Moment | None, *, with_epoch: bool = False) -> str:
    if moment is None:
        return number(None)
    return with_error(moment.estimate) + (f" ({epoch(moment.epoch)})" if with_epoch else "")


def _mean(found: Estimate | None, *, sign: bool = False, digits: int = 3) -> str:
    return number(found.mean if found else None, sign=sign, digits=digits)


def _setting(value: object) -> str:
    return number(None) if value is None else str(value)
