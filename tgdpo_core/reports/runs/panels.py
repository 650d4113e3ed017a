"""Which curves a page of runs has, and how the lines of each are drawn."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tgdpo_core.reports.charts import DASHES, Line, line_chart
from tgdpo_core.reports.figures import COLOURS, INK, Plot
from tgdpo_core.reports.runs.log import Series
from tgdpo_core.reports.runs.reading import Run

Array = np.ndarray[Any, Any]

_MOST_POINTS = 300
_EVALUATION = re.compile(r"eval_(?:(?P<set>.+)_)?")


@dataclass(frozen=True)
class Panel:
    """A chart: its name, heading, axis, columns of the log with their labels, and a caption.

    Attributes:
        evaluated: whether the same columns of evaluations (``eval_...``) are drawn, too.
        wanted_by: what makes a run log it, where not every run does.
    """

    name: str
    title: str
    y_label: str
    columns: dict[str, str]
    caption: str
    evaluated: bool = False
    wanted_by: str = ""


PANELS = (
    Panel(
        "loss",
        "Loss",
        "loss",
        {"loss": "training"},
        "Runs with different weights, betas or losses have different scales: no score.",
        evaluated=True,
    ),
    Panel(
        "margins",
        "Margins",
        "margin",
        {"rewards/margins": "unweighted", "weighted/margins": "weighted"},
        "beta times the log-ratios, chosen minus rejected: as in DPO, and with the token weights.",
        evaluated=True,
    ),
    Panel(
        "accuracy",
        "Accuracy",
        "share of pairs",
        {"rewards/accuracies": "unweighted", "weighted/accuracies": "weighted"},
        "Share of the pairs with a margin above 0.",
        evaluated=True,
    ),
    Panel(
        "displacement",
        "Displacement",
        "nats",
        {"logps/chosen_delta": "chosen", "logps/rejected_delta": "rejected"},
        "Change of the responses' log-probability against the reference. Chosen below 0: pushed "
        "down as well.",
    ),
    Panel(
        "kl",
        "Distance from the reference",
        "KL, nats",
        {"judge/kl": "on samples"},
        "KL(policy || reference) on the policy's own answers.",
        wanted_by="judging.kl",
    ),
    Panel(
        "judged",
        "Judged score",
        "score",
        {"judge/greedy": "greedy", "judge/sampled": "sampled", "judge/pairs": "pairs"},
        "Mean score of the judge on the evaluation prompts.",
        wanted_by="judging.judge",
    ),
    Panel(
        "weights",
        "Mean weights",
        "weight",
        {"weights/mean_chosen": "f_w, chosen", "weights/mean_rejected": "f_l, rejected"},
        "1 on both sides is DPO; constant ones are DPO with another beta for each side.",
    ),
    Panel(
        "gradient",
        "Gradient norm",
        "norm",
        {"grad_norm": "before clipping"},
        "Of the last step of each log row.",
    ),
    Panel("rate", "Learning rate", "rate", {"learning_rate": "rate"}, ""),
)


@dataclass(frozen=True)
class Drawn:
    """The charts, and what there is no chart of.

    Attributes:
        plots: in the order of the page.
        missing: sentences.
    """

    plots: Sequence[Plot]
    missing: Sequence[str]


def draw(runs: Sequence[Run]) -> Drawn:
    """Return the charts of all runs; what a run has not logged is said, and not drawn."""
    x = "epoch" if all(_has_epochs(run) for run in runs if run.log.series) else "step"
    plots, missing = [], []
    for panel in PANELS:
        found = [_columns_of(panel, run) for run in runs]
        without = [run.name for run, columns in zip(runs, found, strict=True) if not columns]
        if len(without) == len(runs):
            wanted = f" (recipe: {panel.wanted_by})" if panel.wanted_by else ""
            missing.append(f"{panel.title}: nothing was logged{wanted}.")
            continue
        plots.append(_plot(panel, runs, x, without))
    if not any(_EVALUATION.match(name) for run in runs for name in run.log.series):
        missing.append(
            "Evaluation curves: nothing was logged (recipe: data.eval_path and "
            "training.eval_strategy)."
        )
    return Drawn(plots, missing)


def _has_epochs(run: Run) -> bool:
    loss = run.log.series.get("loss") or next(iter(run.log.series.values()))
    return bool(np.isfinite(loss.epochs).all())


def _columns_of(panel: Panel, run: Run) -> dict[str, str]:
    """Return the columns of a run that a panel draws, with their labels."""
    found = {name: text for name, text in panel.columns.items() if name in run.log.series}
    if not panel.evaluated:
        return found
    main = next(iter(panel.columns))
    for name in run.log.series:
        match = _EVALUATION.match(name)
        if match and name.endswith(main) and name[: -len(main)] in ("eval_", match[0]):
            found[name] = "evaluation" + (f" {match['set']}" if match["set"] else "")
    return found


def _plot(panel: Panel, runs: Sequence[Run], x: str, without: Sequence[str]) -> Plot:
    drawn = list(_lines(panel, runs, x))
    lines, most = [line for line, _, _ in drawn], max(size for _, size, _ in drawn)
    caption = [panel.caption] if panel.caption else []
    if most > 1:
        caption.append(f"Each point is the mean of up to {most} log rows.")
    if any(not np.isfinite(line.y).all() for line in lines):
        caption.append("\N{MULTIPLICATION SIGN} at the foot: no finite number was logged there.")
    if without:
        caption.append(f"Not logged by {', '.join(without)}.")
    if len(runs) == 1:
        legend = [(line.name, line.colour, line.dashes) for line in lines]
    else:
        owners = dict.fromkeys((run, line.colour, "") for line, _, (run, _) in drawn)
        kinds = dict.fromkeys((text, INK, line.dashes) for line, _, (_, text) in drawn)
        legend = [*owners, *(kinds if len(kinds) > 1 else ())]
    svg = line_chart(lines, legend, x_label=x, y_label=panel.y_label)
    return Plot(panel.name, panel.title, " ".join(caption), svg)


def _lines(
    panel: Panel, runs: Sequence[Run], x: str
) -> Iterator[tuple[Line, int, tuple[str, str]]]:
    """Yield every line, how many rows a point of it stands for, and whose it is.

    Of one run columns differ in colour; of several the runs do, and columns in their dashes.
    """
    several = len(runs) > 1
    colours = itertools.cycle(COLOURS)
    for run in runs:
        mine = next(colours) if several else ""
        for column, text in _columns_of(panel, run).items():
            at, values, size = _points(run.log.series[column], x)
            name = f"{run.name}, {text}" if several else text
            dashes = DASHES[2] if column.startswith("eval_") else ""
            if several and column in panel.columns:
                dashes = DASHES[(0, 1, 3)[list(panel.columns).index(column)]]
            yield Line(name, at, values, mine or next(colours), dashes), size, (run.name, text)


def _points(series: Series, x: str) -> tuple[Array, Array, int]:
    """Return places and values, many rows taken together, and how many at most."""
    at = series.epochs if x == "epoch" else series.steps.astype(np.float64)
    if len(at) <= _MOST_POINTS:
        return at, series.values, 1
    starts = np.unique(np.linspace(0, len(at), _MOST_POINTS + 1).astype(int))[:-1]
    sizes = np.diff(np.append(starts, len(at)))
    # A point with one bad value is bad: a gap is not to vanish in a mean.
    return (
        np.add.reduceat(at, starts) / sizes,
        np.add.reduceat(series.values, starts) / sizes,
        int(sizes.max()),
    )
