"""Plots of an ablation: SVG text, transparent, readable on light and on dark pages."""

import io
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tgdpo_core.experiments.collection import Collection
from tgdpo_core.experiments.curves import Curve
from tgdpo_core.experiments.main_metric import MainMetric
from tgdpo_core.experiments.summary import CellSummary
from tgdpo_core.experiments.sweeps import Sweep, sweeps
from tgdpo_core.reports.visible import escaped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Cell name to how its lines look: keyword arguments of matplotlib.
_Look = dict[str, dict[str, Any]]

# Axes and text: contrast 4.0 on white, 4.7 on the dark page; report.html writes its own ink here.
INK = "#7b8490"
# Mid-tones: each at least 3:1 on white and on the dark page. The baseline's variant has INK.
_COLOURS = (
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
_LONGEST_IN_TWO_COLUMNS = 28
_SIZE = (4.6, 2.9)
_LEGEND_ROW = 0.17
_TICK_ROOM = 0.08  # of the axis
_STYLE: dict[Any, Any] = {  # matplotlib types its keys as literals, other ones in every version
    "svg.fonttype": "none",
    "font.size": 9,
    "font.family": ["DejaVu Sans", "sans-serif"],
    "text.parse_math": False,  # a dollar sign in a cell's name is a dollar sign
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.2,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.6,
}


@dataclass(frozen=True)
class Plot:
    """One figure.

    Attributes:
        name: of its file.
        title: heading.
        caption: what is shown, in a sentence.
        svg: the figure, an ``<svg>`` element.
    """

    name: str
    title: str
    caption: str
    svg: str


def plots(
    collection: Collection, metric: MainMetric | None, summaries: Sequence[CellSummary]
) -> list[Plot]:
    """Return the plots for which there is data."""
    shown = plotted(summaries, metric)
    look = _look(shown)
    found = [_differences(summaries, metric)] if metric else []
    found += [_over_training(collection, look, what) for what in _curves(metric)]
    if metric:
        found += [_against_kl(collection, look, metric)]
        found += [_sweep_plot(sweep, metric) for sweep in sweeps(summaries)]
    found += [_weights(shown, collection)]
    return [plot for plot in found if plot]


@dataclass(frozen=True)
class _Curves:
    """A plot over training: file name, heading, column, label of the y axis, from the log rows."""

    name: str
    title: str
    column: str
    label: str
    training: bool = True


def _curves(metric: MainMetric | None) -> list[_Curves]:
    main = [_Curves("metric", "Main metric", metric.name, metric.label, False)] if metric else []
    return [
        *main,
        _Curves("loss", "Training loss", "loss", "loss"),
        _Curves("margin", "Margin", "rewards/margins", "unweighted margin"),
        _Curves(
            "displacement",
            "Displacement of the chosen responses",
            "logps/chosen_delta",
            "log-probability change, nats",
        ),
        _Curves("kl", "Distance from the reference", "judge/kl", "KL on samples, nats", False),
    ]


def _over_training(collection: Collection, look: _Look, what: _Curves) -> Plot | None:
    def draw(axes: "Axes") -> None:
        for name, style in look.items():
            if curve := collection.curve(name, what.column, training=what.training):
                _line(axes, curve, style)
        axes.set(xlabel="epoch", ylabel=what.label)

    caption = "Mean over seeds; the band is one standard error."
    return _plot(draw, what.name, what.title, caption)


def _line(axes: "Axes", curve: Curve, style: dict[str, Any]) -> None:
    estimates = [found for found in curve.estimates() if found]
    mean = np.array([found.mean for found in estimates])
    error = np.array([found.standard_error or 0.0 for found in estimates])
    axes.plot(curve.epochs, mean, marker="o" if len(mean) == 1 else None, **style)
    axes.fill_between(
        curve.epochs, mean - error, mean + error, color=style["color"], alpha=0.18, linewidth=0
    )


def _against_kl(collection: Collection, look: _Look, metric: MainMetric) -> Plot | None:
    def draw(axes: "Axes") -> None:
        for name, style in look.items():
            kl, values = collection.curve(name, "judge/kl"), collection.curve(name, metric.name)
            if kl and values:
                epochs = [epoch for epoch in values.epochs if epoch in kl.epochs]
                x = [np.mean(list(kl.at(epoch).values())) for epoch in epochs]
                y = [np.mean(list(values.at(epoch).values())) for epoch in epochs]
                axes.plot(x, y, marker="o", markersize=3, **style)
        axes.set_xscale("function", functions=(_root, np.square))
        ticks = _root_ticks(axes.dataLim.xmax)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set(
            xlabel="KL on samples, nats (square-root scale)", ylabel=metric.label, xlim=(0, None)
        )

    caption = "One point per evaluation, means over seeds. Higher at the same KL: better per nat."
    if not metric.higher_is_better:
        caption = caption.replace("Higher", "Lower")
    return _plot(draw, "metric-against-kl", "Main metric against KL", caption)


def _root(values: Any) -> Any:
    return np.sqrt(np.maximum(values, 0.0))  # an estimate of a small KL may be below 0


def _root_ticks(largest: float) -> list[float]:
    """Return round values up to ``largest`` that leave each other room on a square-root scale."""
    decades = range(-2, 6)
    ticks = [0.0]
    for value in (step * 10.0**decade for decade in decades for step in (1, 2, 5)):
        if value <= largest and _root(value) - _root(ticks[-1]) >= _TICK_ROOM * _root(largest):
            ticks.append(value)
    return ticks


def _sweep_plot(sweep: Sweep, metric: MainMetric) -> Plot | None:
    def draw(axes: "Axes") -> None:
        for (label, points), colour in zip(sweep.lines.items(), itertools.cycle(_COLOURS)):
            x = [value for value, _ in points]
            for moment, line in (("peak", "-"), ("end", "--")):
                found = [getattr(summary, moment).estimate for _, summary in points]
                axes.errorbar(
                    x,
                    [one.mean for one in found],
                    yerr=[one.standard_error or 0.0 for one in found],
                    label=_short(label) if moment == "peak" else None,
                    color=colour,
                    linestyle=line,
                    marker="o",
                    markersize=3.5,
                    capsize=2,
                )
        values = sorted({value for points in sweep.lines.values() for value, _ in points})
        if values[0] > 0:
            axes.set_xscale("log")
            axes.minorticks_off()
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.set(xlabel=sweep.setting, ylabel=metric.label)

    caption = "Solid: peak; dashed: end of training. Bars: one standard error over seeds."
    return _plot(draw, f"sweep-{sweep.setting}", f"Sweep of {sweep.setting}", caption)


def _differences(summaries: Sequence[CellSummary], metric: MainMetric) -> Plot | None:
    """Return the paired differences of the cells to their baselines."""
    rows = [s for s in summaries if s.peak and s.peak.difference and s.end and s.end.difference]

    def draw(axes: "Axes") -> None:
        for moment, offset, colour in (("peak", 0.15, _COLOURS[0]), ("end", -0.15, _COLOURS[1])):
            found = [getattr(summary, moment).difference for summary in rows]
            means = [one.estimate.mean for one in found]
            below = [one.estimate.mean - one.low if one.low is not None else 0.0 for one in found]
            above = [one.high - one.estimate.mean if one.low is not None else 0.0 for one in found]
            _dots(axes, means, (below, above), offset=offset, color=colour, label=moment)
        _name_rows(axes, rows)
        axes.axvline(0.0, color=INK, linewidth=0.8)
        axes.set(xlabel=f"{metric.label}: cell \N{MINUS SIGN} baseline")

    caption = "Mean over seeds of the paired difference, with its 95 % bootstrap interval."
    if not rows:
        return None
    return _plot(
        draw, "differences", "Difference to the baseline", caption, height=_height_of(rows)
    )


def _weights(shown: Sequence[CellSummary], collection: Collection) -> Plot | None:
    """Return mean f_w and mean f_l of every cell, with the spread over tokens."""
    rows = [s for s in shown if s.mean_f_w and s.mean_f_l]

    def draw(axes: "Axes") -> None:
        spread = [_token_spread(collection, s.cell.name) for s in rows]
        f_w = [s.mean_f_w.mean for s in rows if s.mean_f_w]
        f_l = [s.mean_f_l.mean for s in rows if s.mean_f_l]
        _dots(axes, f_w, spread, offset=0.15, color=_COLOURS[0], label="f_w, chosen")
        _dots(axes, f_l, spread, offset=-0.15, color=_COLOURS[1], label="f_l, rejected")
        _name_rows(axes, rows)
        axes.axvline(1.0, color=INK, linewidth=0.8)
        axes.set(xlabel="weight (plain DPO: 1)")

    caption = (
        "Mean weight of chosen and rejected tokens; the bar is the standard deviation over all "
        "tokens. Mean f_l above mean f_w pushes the chosen responses down."
    )
    return _plot(draw, "weights", "Weights", caption, height=_height_of(rows)) if rows else None


def _dots(axes: "Axes", x: Sequence[float], xerr: Any, *, offset: float, **style: Any) -> None:
    """Draw one dot per row, the first row on top."""
    y = [len(x) - 1 - row + offset for row in range(len(x))]
    axes.errorbar(x, y, xerr=xerr, linestyle="none", marker="o", markersize=4, capsize=2, **style)


def _name_rows(axes: "Axes", rows: Sequence[CellSummary]) -> None:
    names = [_short(row.cell.name).replace(",", ",\n", 1) for row in reversed(rows)]
    axes.set_yticks(range(len(rows)), names, fontsize=7.5)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(visible=False, axis="y")


def _height_of(rows: Sequence[CellSummary]) -> float:
    return max(_SIZE[1], 0.6 + 0.34 * len(rows))


def _token_spread(collection: Collection, name: str) -> float:
    curve = collection.curve(name, "weights/std")
    found = curve.estimates()[-1] if curve else None
    return found.mean if found else 0.0


def _plot(
    draw: Callable[["Axes"], None],
    name: str,
    title: str,
    caption: str,
    *,
    height: float = _SIZE[1],
) -> Plot | None:
    """Return the plot that ``draw`` makes; None if it draws nothing."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        if not axes.has_data():
            return None
        handles, labels = axes.get_legend_handles_labels()
        columns = 2 if max(map(len, labels), default=0) <= _LONGEST_IN_TWO_COLUMNS else 1
        rows = -(-len(labels) // columns)
        figure.set_size_inches(_SIZE[0], height + _LEGEND_ROW * rows)
        if labels:
            figure.legend(handles, labels, loc="outside lower left", ncols=columns)
        return Plot(name, title, caption, _svg(figure))


def _svg(figure: "Figure") -> str:
    """Return the ``<svg>`` element of a figure, the same for the same figure."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    text = file.getvalue()
    return text[text.index("<svg") :]


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


def _look(shown: Sequence[CellSummary]) -> _Look:
    """Return ink for the cells of the baseline's variant, and a colour for every other.

    Lines of one colour differ in their dashes.
    """
    baselines = {summary.cell.baseline for summary in shown}
    variants = {s.cell.variant for s in shown if s.cell.name in baselines}
    ink = itertools.cycle((INK, dashes) for dashes in _DASHES)
    coloured = itertools.cycle((colour, dashes) for dashes in _DASHES for colour in _COLOURS)
    lines = {}
    for summary in shown:
        colour, dashes = next(ink if summary.cell.variant in variants else coloured)
        lines[summary.cell.name] = {
            "label": _short(summary.cell.name),
            "color": colour,
            "linestyle": dashes,
        }
    return lines


def _short(name: str) -> str:
    """Return a name for a plot; of a long one start and end, for cells differ in the end."""
    name = escaped(name)
    half = _LONGEST_NAME // 2
    return (
        name
        if len(name) <= _LONGEST_NAME
        else f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"
    )
