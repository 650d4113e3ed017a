"""Which cells of an ablation are drawn, and how the lines of each look."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tgdpo_core.experiments.main_metric import MainMetric
from tgdpo_core.experiments.summary import CellSummary
from tgdpo_core.reports.visible import escaped

Look = dict[str, dict[str, Any]]
"""Cell name to how its lines look: keyword arguments of matplotlib."""

# Axes and text: contrast 4.0 on white, 4.7 on the dark page; report.html writes its own ink here.
INK = "#7b8490"
# Mid-tones: each at least 3:1 on white and on the dark page. The baseline's variant has INK.
COLOURS = (
    "#2f80d8",
    "#e0661a",
    "#2b9a5b",
    "#c2498f",
    "#9068d6",
    "#b08407",
    "#149a9e",
    "#d64545",
    "#7f8f1f",
    "#b0653f",
)
_DASHES = ("-", "--", ":", "-.")
_MOST_LINES = 10
_LONGEST_NAME = 42


def plotted(summaries: Sequence[CellSummary], metric: MainMetric | None) -> list[CellSummary]:
    """Return the cells that have lines.

    All of them; where there are many the baselines and the best of every variant.
    """
    if len(summaries) <= _MOST_LINES:
        return list(summaries)
    sign = -1 if metric and not metric.higher_is_better else 1

    def score(summary: CellSummary) -> float:
        return sign * summary.peak.estimate.mean if summary.peak else -np.inf

    best: dict[str, CellSummary] = {}
    for summary in summaries:
        known = best.setdefault(summary.cell.variant, summary)
        if score(summary) > score(known):
            best[summary.cell.variant] = summary
    kept = {summary.cell.name for summary in best.values()}
    kept |= {str(summary.cell.baseline) for summary in summaries}
    return [summary for summary in summaries if summary.cell.name in kept]


def looks(shown: Sequence[CellSummary]) -> Look:
    """Return ink for the cells of the baseline's variant, and a colour for every other.

    Lines of one colour differ in their dashes.
    """
    baselines = {summary.cell.baseline for summary in shown}
    variants = {s.cell.variant for s in shown if s.cell.name in baselines}
    ink = itertools.cycle((INK, dashes) for dashes in _DASHES)
    coloured = itertools.cycle((colour, dashes) for dashes in _DASHES for colour in COLOURS)
    lines = {}
    for summary in shown:
        colour, dashes = next(ink if summary.cell.variant in variants else coloured)
        lines[summary.cell.name] = {
            "label": short_name(summary.cell.name),
            "color": colour,
            "linestyle": dashes,
        }
    return lines


def short_name(name: str) -> str:
    """Return a name for a plot; of a long one start and end, for cells differ in the end."""
    name = escaped(name)
    half = _LONGEST_NAME // 2
    return (
        name
        if len(name) <= _LONGEST_NAME
        else f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"
    )
