"""How figures look: SVG text, transparent, readable on light and on dark pages."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Axes and text: contrast 4.0 on white, 4.7 on the dark page; pages write their own ink here.
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
STYLE: dict[Any, Any] = {  # matplotlib types its keys as literals, other ones in every version
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


def svg_of(figure: "Figure") -> str:
    """Return the ``<svg>`` element of a figure, the same for the same figure."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    text = file.getvalue()
    return text[text.index("<svg") :]
