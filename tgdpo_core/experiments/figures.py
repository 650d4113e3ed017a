"""A figure as SVG text: transparent, readable on light and on dark pages."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tgdpo_core.reports.figures import STYLE, svg_of
from tgdpo_core.reports.figures import Plot as Plot
from tgdpo_core.reports.value_histograms import png_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONGEST_IN_TWO_COLUMNS = 28
SIZE = (4.6, 2.9)
_LEGEND_ROW = 0.17


@dataclass(frozen=True)
class Drawn(Plot):
    """A plot that can be drawn as PNG, too."""

    drawn: "Figure" = field(compare=False, repr=False)

    def png(self) -> bytes:
        """Return the figure on white."""
        import matplotlib as mpl

        with mpl.rc_context(STYLE):
            return png_of(self.drawn)


def figure(
    draw: Callable[["Axes"], None],
    name: str,
    title: str,
    caption: str,
    *,
    height: float = SIZE[1],
) -> Drawn | None:
    """Return the plot that ``draw`` makes; None if it draws nothing."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
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
        return Drawn(name, title, caption, svg_of(drawn), drawn)
