"""A figure as SVG text: transparent, readable on light and on dark pages."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tgdpo_core.experiments.looks import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONGEST_IN_TWO_COLUMNS = 28
SIZE = (4.6, 2.9)
_LEGEND_ROW = 0.17
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


def figure(
    draw: Callable[["Axes"], None],
    name: str,
    title: str,
    caption: str,
    *,
    height: float = SIZE[1],
) -> Plot | None:
    """Return the plot that ``draw`` makes; None if it draws nothing."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        drawn = Figure(figsize=SIZE, layout="constrained")
        axes = drawn.add_subplot()
        draw(axes)
        if not axes.has_data():
            return None
        handles, labels = axes.get_legend_handles_labels()
        columns = 2 if max(map(len, labels), default=0) <= _LONGEST_IN_TWO_COLUMNS else 1
        rows = -(-len(labels) // columns)
        drawn.set_size_inches(SIZE[0], height + _LEGEND_ROW * rows)
        if labels:
            drawn.legend(handles, labels, loc="outside lower left", ncols=columns)
        return Plot(name, title, caption, _svg(drawn))


def _svg(figure: "Figure") -> str:
    """Return the ``<svg>`` element of a figure, the same for the same figure."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    text = file.getvalue()
    return text[text.index("<svg") :]
