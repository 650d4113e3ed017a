"""Histograms of a run's token rewards and weights."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tgdpo_core.reports.axes import label
from tgdpo_core.reports.charts import histogram_chart
from tgdpo_core.reports.distribution import Distribution
from tgdpo_core.reports.figures import COLOURS, Plot
from tgdpo_core.reports.runs.reading import Run

Array = np.ndarray[Any, Any]


def spread_plots(run: Run) -> Iterator[Plot]:
    """Yield a histogram of every reward, and one of the weights; none of what does not vary."""
    for number, each in enumerate(run.tokens.distributions if run.tokens else ()):
        is_weight = each.name == "weight"
        edges = np.linspace(each.low, each.high, len(each.chosen) + 1)
        sides = (("chosen", each.chosen, COLOURS[0]), ("rejected", each.rejected, COLOURS[1]))
        svg = histogram_chart(
            edges,
            [(name, _shares(np.array(counts)), colour) for name, counts, colour in sides],
            x_label="token weight" if is_weight else f"token reward: {each.name}",
            middle=1.0 if is_weight else 0.0,
        )
        title = "Weights" if is_weight else f"Rewards: {each.name}"
        yield Plot(f"spread-{number}", title, _caption(each, run), svg)


def _shares(counts: Array) -> Array:
    return counts / max(1, int(counts.sum()))


def _caption(each: Distribution, run: Run) -> str:
    assert run.tokens
    total = sum(each.chosen) + sum(each.rejected) + each.below + each.above
    said = f"{total} response tokens of {run.tokens.num_pairs} training pairs, before training."
    if run.tokens.num_pairs < run.tokens.num_trained:
        said += f" (A sample of {run.tokens.num_trained}, at equal distances.)"
    if each.below or each.above:
        said += (
            f" Not drawn: {each.below} tokens below {label(each.low)} and {each.above} above "
            f"{label(each.high)}."
        )
    return said
