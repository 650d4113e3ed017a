"""Token rewards and weights of some pairs as a picture for trackers, which take no SVG."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tgdpo_core.reports.figures import COLOURS, STYLE
from tgdpo_core.scoring.pairs import ScoredPair

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BINS = 40


def value_histograms(pairs: Sequence[ScoredPair]) -> bytes:
    """Return a PNG: how token rewards and weights are distributed on chosen and on rejected tokens.

    Args:
        pairs: scored; at least one.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        drawn = Figure(figsize=(7.5, 2.8), layout="constrained")
        parts = ("token reward", "token_rewards"), ("weight", "weights")
        for axes, (label, name) in zip(drawn.subplots(1, 2), parts, strict=True):
            values = [getattr(pair, name).numpy() for pair in pairs]
            cuts = [len(pair.pair.chosen.ids) for pair in pairs]
            chosen = np.concatenate([v[:cut] for v, cut in zip(values, cuts, strict=True)])
            rejected = np.concatenate([v[cut:] for v, cut in zip(values, cuts, strict=True)])
            bins = np.histogram_bin_edges(np.concatenate([chosen, rejected]), _BINS)
            for side, colour, of in ((chosen, 0, "chosen"), (rejected, 1, "rejected")):
                axes.hist(side, bins, color=COLOURS[colour], label=of, histtype="step", lw=1.6)
            axes.set(xlabel=label, ylabel=f"tokens of {len(pairs)} pairs", yscale="log")
            axes.legend()
        return png_of(drawn)


def png_of(figure: "Figure") -> bytes:
    """Return a figure as PNG on white."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150, facecolor="white")
    return file.getvalue()
