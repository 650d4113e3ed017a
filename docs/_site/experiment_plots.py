"""What the pictures of the experiments page show: dots and lines where a table says."""

import re
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from tgdpo_core.reports.figures import COLOURS, INK

Rows = list[dict[str, str]]

_SOLVED = "solved rate, sampled answers"
_NUMBER = re.compile(r"[+-]?\d*\.\d+")


def value(cell: str) -> tuple[float, float]:
    """Return mean and standard error of a cell such as ``0.602 ± 0.039 (2)``; no error is 0."""
    numbers = [float(found) for found in _NUMBER.findall(cell.partition("(")[0])]
    return numbers[0], numbers[1] if len(numbers) > 1 else 0.0


def dots(axes: Axes, rows: Rows) -> None:
    """Draw peak and end of every cell, the first on top, the best DPO at its peak as a line."""
    for column, shift, colour in (("peak (epoch)", 0.14, 0), ("end", -0.14, 1)):
        found = [value(row[column]) for row in rows]
        axes.errorbar(
            [mean for mean, _ in found],
            [len(rows) - 1 - i + shift for i in range(len(rows))],
            xerr=[error for _, error in found],
            linestyle="none",
            marker="o",
            markersize=4,
            capsize=2,
            color=COLOURS[colour],
            label=column.partition(" ")[0],
        )
    best = max(value(row["peak (epoch)"])[0] for row in rows if row["cell"].startswith("dpo,"))
    axes.axvline(best, color=INK, linewidth=0.9, linestyle="--", label="best DPO, peak")
    axes.set_yticks(range(len(rows)), [row["cell"] for row in reversed(rows)])
    axes.set(xlabel=_SOLVED, ylim=(-0.6, len(rows) - 0.4))
    axes.grid(visible=False, axis="y")
    axes.legend(
        loc="upper left", bbox_to_anchor=(0, -0.16 * 3.2 / axes.figure.get_figheight()), ncols=3
    )


def over_setting(
    axes: Axes, rows: Rows, *, setting: str, columns: Mapping[str, str], lines: Sequence[str]
) -> None:
    """Draw columns over a setting that the cells' names hold, one line a variant."""
    for variant, colour in zip(lines, COLOURS, strict=False):
        points = [row for row in rows if row["cell"].startswith(f"{variant},{setting}=")]
        x = [float(row["cell"].rpartition("=")[2]) for row in points]
        for column, style in columns.items():
            found = [value(row[column]) for row in points]
            label = f"{variant}, {column.partition(' ')[0]}" if len(columns) > 1 else variant
            axes.errorbar(
                x,
                [mean for mean, _ in found],
                yerr=[error for _, error in found],
                color=colour,
                linestyle=style,
                marker="o",
                markersize=3.5,
                capsize=2,
                label=label,
            )
    ticks = sorted({float(row["cell"].rpartition("=")[2]) for row in rows if "=" in row["cell"]})
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set(xlabel=setting, ylabel=_SOLVED)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def at_equal_kl(axes: Axes, rows: Rows, *, lines: Sequence[str]) -> None:
    """Draw the solved rate over KL, up to the largest that a cell reaches."""
    levels = {"solved at KL 0.5": 0.5, "1": 1.0, "1.5": 1.5, "2": 2.0}
    found = [row for name in lines for row in rows if row["cell"] == name]
    for row, colour in zip(found, COLOURS, strict=False):
        known = {x: value(row[column])[0] for column, x in levels.items() if "." in row[column]}
        axes.plot(list(known), list(known.values()), "o-", color=colour, ms=4, label=row["cell"])
    axes.set(xlabel="KL(policy || reference) on samples, nats", ylabel="solved rate")
    axes.set_xticks(list(levels.values()))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def along_kl(axes: Axes, rows: Rows, *, lines: Sequence[str]) -> None:
    """Draw the score over KL, before training, half-way and at the end."""
    found = [row for name in lines for row in rows if row["cell"] == name]
    for row, colour in zip(found, COLOURS, strict=False):
        x = [0.0, *(float(row[name]) for name in ("KL half-way", "KL"))]
        y = [value(row[name]) for name in ("before", "half-way", "end")]
        axes.errorbar(
            x,
            [mean for mean, _ in y],
            yerr=[error for _, error in y],
            fmt="o-",
            color=colour,
            ms=4,
            capsize=2,
            label=row["cell"].replace("learning_rate", "lr"),
        )
    axes.set(xlabel="KL(policy || reference) on samples, nats", ylabel="mood")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
