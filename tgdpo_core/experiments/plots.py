"""The plots of an ablation: which there are, and what each draws."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tgdpo_core.experiments.collection import Collection
from tgdpo_core.experiments.curves import Curve
from tgdpo_core.experiments.figures import SIZE, Drawn, figure
from tgdpo_core.experiments.looks import COLOURS, INK, Look, looks, plotted, short_name
from tgdpo_core.experiments.main_metric import MainMetric
from tgdpo_core.experiments.summary import CellSummary
from tgdpo_core.experiments.sweeps import Sweep, sweeps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TICK_ROOM = 0.08  # of the axis


def plots(
    collection: Collection, metric: MainMetric | None, summaries: Sequence[CellSummary]
) -> list[Drawn]:
    """Return the plots for which there is data."""
    shown = plotted(summaries, metric)
    look = looks(shown)
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


def _over_training(collection: Collection, look: Look, what: _Curves) -> Drawn | None:
    def draw(axes: "Axes") -> None:
        for name, style in look.items():
            if curve := collection.curve(name, what.column, training=what.training):
                _line(axes, curve, style)
        axes.set(xlabel="epoch", ylabel=what.label)

    caption = "Mean over seeds; the band is one standard error."
    return figure(draw, what.name, what.title, caption)


def _line(axes: "Axes", curve: Curve, style: dict[str, Any]) -> None:
    estimates = [found for found in curve.estimates() if found]
    mean = np.array([found.mean for found in estimates])
    error = np.array([found.standard_error or 0.0 for found in estimates])
    axes.plot(curve.epochs, mean, marker="o" if len(mean) == 1 else None, **style)
    axes.fill_between(
        curve.epochs, mean - error, mean + error, color=style["color"], alpha=0.18, linewidth=0
    )


def _against_kl(collection: Collection, look: Look, metric: MainMetric) -> Drawn | None:
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
    return figure(draw, "metric-against-kl", "Main metric against KL", caption)


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


def _sweep_plot(sweep: Sweep, metric: MainMetric) -> Drawn | None:
    def draw(axes: "Axes") -> None:
        for (label, points), colour in zip(sweep.lines.items(), itertools.cycle(COLOURS)):
            x = [value for value, _ in points]
            for moment, line in (("peak", "-"), ("end", "--")):
                found = [getattr(summary, moment).estimate for _, summary in points]
                axes.errorbar(
                    x,
                    [one.mean for one in found],
                    yerr=[one.standard_error or 0.0 for one in found],
                    label=short_name(label) if moment == "peak" else None,
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
    return figure(draw, f"sweep-{sweep.setting}", f"Sweep of {sweep.setting}", caption)


def _differences(summaries: Sequence[CellSummary], metric: MainMetric) -> Drawn | None:
    """Return the paired differences of the cells to their baselines."""
    rows = [s for s in summaries if s.peak and s.peak.difference and s.end and s.end.difference]

    def draw(axes: "Axes") -> None:
        for moment, offset, colour in (("peak", 0.15, COLOURS[0]), ("end", -0.15, COLOURS[1])):
            found = [getattr(summary, moment).difference for summary in rows]
            means = [one.estimate.mean for one in found]
            below = [one.estimate.mean - one.low if one.low is not None else 0.0 for one in found]
            above = [one.high - one.estimate.mean if one.low is not None else 0.0 for one in found]
            _dots(axes, means, (below, above), offset=offset, color=colour, label=moment)
        _name_rows(axes, rows)
        axes.axvline(0.0, color=INK, linewidth=0.8)
        axes.set(xlabel=f"{metric.label}: cell \N{MINUS SIGN} baseline")

    if not rows:
        return None
    caption = "Mean over seeds of the paired difference"
    if any(s.peak and s.peak.difference and s.peak.difference.low is not None for s in rows):
        caption += ", with its 95 % bootstrap interval."
    else:
        caption += "; of one seed there is no interval."
    return figure(
        draw, "differences", "Difference to the baseline", caption, height=_height_of(rows)
    )


def _weights(shown: Sequence[CellSummary], collection: Collection) -> Drawn | None:
    """Return mean f_w and mean f_l of every cell, with the spread over tokens."""
    rows = [s for s in shown if s.mean_f_w and s.mean_f_l]

    def draw(axes: "Axes") -> None:
        spread = [_token_spread(collection, s.cell.name) for s in rows]
        f_w = [s.mean_f_w.mean for s in rows if s.mean_f_w]
        f_l = [s.mean_f_l.mean for s in rows if s.mean_f_l]
        _dots(axes, f_w, spread, offset=0.15, color=COLOURS[0], label="f_w, chosen")
        _dots(axes, f_l, spread, offset=-0.15, color=COLOURS[1], label="f_l, rejected")
        _name_rows(axes, rows)
        axes.axvline(1.0, color=INK, linewidth=0.8)
        axes.set(xlabel="weight (plain DPO: 1)")

    caption = (
        "Mean weight of chosen and rejected tokens; the bar is the standard deviation over all "
        "tokens. Mean f_l above mean f_w pushes the chosen responses down."
    )
    return figure(draw, "weights", "Weights", caption, height=_height_of(rows)) if rows else None


def _dots(axes: "Axes", x: Sequence[float], xerr: Any, *, offset: float, **style: Any) -> None:
    """Draw one dot per row, the first row on top."""
    y = [len(x) - 1 - row + offset for row in range(len(x))]
    axes.errorbar(x, y, xerr=xerr, linestyle="none", marker="o", markersize=4, capsize=2, **style)


def _name_rows(axes: "Axes", rows: Sequence[CellSummary]) -> None:
    names = [short_name(row.cell.name).replace(",", ",\n", 1) for row in reversed(rows)]
    axes.set_yticks(range(len(rows)), names, fontsize=7.5)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(visible=False, axis="y")


def _height_of(rows: Sequence[CellSummary]) -> float:
    return max(SIZE[1], 0.6 + 0.34 * len(rows))


def _token_spread(collection: Collection, name: str) -> float:
    curve = collection.curve(name, "weights/std")
    found = curve.estimates()[-1] if curve else None
    return found.mean if found else 0.0
