"""Charts as SVG text, quick enough for the end of every run: lines over training, histograms.

matplotlib (``experiments.plots``) would take longer than many a small run. Axes and text have
``figures.INK``, which a page replaces by its own colour.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import escape

from tgdpo_core.reports.axes import Axis, axis, label, tick_labels
from tgdpo_core.reports.figures import INK
from tgdpo_core.reports.visible import escaped

Array = np.ndarray[Any, Any]
Entry = tuple[str, str, str]
"""Of a legend: name, colour and dashes."""

WIDTH, HEIGHT = 460, 250
DASHES = ("", "6 3", "2 3", "8 3 2 3")
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 448, 12, 212
_LEGEND_ROW, _FONT = 18, 12
_CHAR = 6.7  # width of a letter, about
_MOST_HOVERED = 80
_LONGEST_NAME = 56


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: said where one points at it.
        x: [n] ascending.
        y: [n]; NaN is a gap, marked at the foot of the chart.
        colour: of the line.
        dashes: as SVG has them; empty is solid.
    """

    name: str
    x: Array
    y: Array
    colour: str
    dashes: str = ""


def line_chart(
    lines: Sequence[Line], legend: Sequence[Entry], *, x_label: str, y_label: str
) -> str:
    """Return an ``<svg>`` element.

    Args:
        lines: none of them empty.
        legend: what stands below.
        x_label: of the x axis.
        y_label: of the y axis.
    """
    x = axis(_joined(line.x for line in lines), _LEFT, _RIGHT, most=6, pad=0.02)
    y = axis(_joined(line.y for line in lines), _BOTTOM, _TOP, most=5, pad=0.06)
    parts = [*_grid(x, y, x_label, y_label)]
    for line in lines:
        parts += _line(line, x, y)
    return _svg(parts, legend, f"{y_label} over {x_label}")


def histogram_chart(
    edges: Array, counts: Sequence[tuple[str, Array, str]], *, x_label: str, middle: float
) -> str:
    """Return histograms that share their bins, as outlines over each other.

    Args:
        edges: [bins + 1].
        counts: name, [bins] share of the values in each bin, and colour of every histogram.
        x_label: what is counted.
        middle: the value that means nothing (0 for a reward, 1 for a weight); marked.
    """
    x = axis([float(edges[0]), float(edges[-1])], _LEFT, _RIGHT, most=6, pad=0.02)
    highest = max(float(each.max()) for _, each, _ in counts)
    y = axis([0.0, highest], _BOTTOM, _TOP, most=5, pad=0.0)
    parts = [*_grid(x, y, x_label, "share of the tokens")]
    if x.low < middle < x.high:
        at = _n(x.place(middle))
        parts.append(f'<path d="M{at} {_TOP}V{_BOTTOM}" stroke="{INK}" stroke-dasharray="2 3"/>')
    for name, shares, colour in counts:
        path = f"M{_n(x.place(float(edges[0])))} {_BOTTOM}"
        for left, right, share in zip(edges, edges[1:], shares, strict=False):
            at = _n(y.place(float(share)))
            path += f"L{_n(x.place(float(left)))} {at}L{_n(x.place(float(right)))} {at}"
        path += f"V{_BOTTOM}Z"
        parts.append(
            f'<path d="{path}" fill="{colour}" fill-opacity=".16" stroke="{colour}" '
            f'stroke-width="1.4"><title>{_text(name)}</title></path>'
        )
    return _svg(parts, [(name, colour, "") for name, _, colour in counts], f"Shares of {x_label}")


def _line(line: Line, x: Axis, y: Axis) -> Iterator[str]:
    """Yield the parts of a line: its path, its points, and marks where it has no number."""
    finite = np.isfinite(line.y)
    style = f'stroke="{line.colour}" stroke-width="1.7" stroke-linejoin="round"'
    if line.dashes:
        style += f' stroke-dasharray="{line.dashes}"'
    path, pen, alone = "", "M", []
    for i, (a, b, good) in enumerate(zip(line.x, line.y, finite, strict=True)):
        if good:
            place = f"{_n(x.place(float(a)))} {_n(y.place(float(b)))}"
            path += f"{pen}{place}"
            around = finite[max(0, i - 1) : i + 2]
            if int(around.sum()) == 1:
                alone.append(i)
        pen = "L" if good else "M"
    if path:
        yield f'<path d="{path}" fill="none" {style}><title>{_text(line.name)}</title></path>'
    hovered = range(len(line.x)) if len(line.x) <= _MOST_HOVERED else alone
    for i in (i for i in hovered if finite[i]):
        said = f"{line.name} {label(float(line.y[i]))} at {label(float(line.x[i]))}"
        shown = "" if i in alone else ' fill-opacity="0"'
        yield (
            f'<circle cx="{_n(x.place(float(line.x[i])))}" cy="{_n(y.place(float(line.y[i])))}" '
            f'r="{3 if i in alone else 6}" fill="{line.colour}"{shown}>'
            f"<title>{_text(said)}</title></circle>"
        )
    for a in line.x[~finite]:
        at = x.place(float(a))
        yield (
            f'<path class="gap" d="M{_n(at - 3)} {_BOTTOM - 6}l6 6m-6 0l6 -6" '
            f'stroke="{line.colour}" stroke-width="1.6"><title>'
            f"{_text(f'{line.name} is no finite number at {label(float(a))}')}</title></path>"
        )


def _grid(x: Axis, y: Axis, x_label: str, y_label: str) -> Iterator[str]:
    across = "".join(f"M{_LEFT} {_n(y.place(tick))}H{_RIGHT}" for tick in y.ticks)
    yield f'<path d="{across}" stroke="{INK}" stroke-opacity=".16"/>'
    yield f'<path d="M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}" fill="none" stroke="{INK}"/>'
    yield f'<g fill="{INK}" font-size="{_FONT}" text-anchor="end">'
    for tick, said in zip(y.ticks, tick_labels(y.ticks), strict=True):
        yield f'<text x="{_LEFT - 5}" y="{_n(y.place(tick) + 4)}">{said}</text>'
    yield "</g>"
    yield f'<g fill="{INK}" font-size="{_FONT}" text-anchor="middle">'
    for tick, said in zip(x.ticks, tick_labels(x.ticks), strict=True):
        yield f'<text x="{_n(x.place(tick))}" y="{_BOTTOM + 15}">{said}</text>'
    yield f'<text x="{(_LEFT + _RIGHT) // 2}" y="{_BOTTOM + 32}">{_text(x_label)}</text>'
    middle = (_TOP + _BOTTOM) // 2
    yield (
        f'<text x="11" y="{middle}" transform="rotate(-90 11 {middle})">{_text(y_label)}</text></g>'
    )


def _svg(parts: Sequence[str], entries: Sequence[Entry], title: str) -> str:
    rows = _legend_rows(entries)
    height = HEIGHT + _LEGEND_ROW * len(rows)
    legend = []
    for number, row in enumerate(rows):
        y, at = HEIGHT + 8 + _LEGEND_ROW * number, 12.0
        for name, colour, dashes in row:
            dash = f' stroke-dasharray="{dashes}"' if dashes else ""
            legend.append(
                f'<path d="M{_n(at)} {y}h24" stroke="{colour}" stroke-width="2.2"{dash}/>'
                f'<text x="{_n(at + 29)}" y="{y + 4}" fill="{INK}" font-size="{_FONT}">'
                f"{_text(_short(name))}</text>"
            )
            at += _entry_width(name)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="DejaVu Sans, Segoe UI, Helvetica, sans-serif">'
        f"<title>{_text(title)}</title>{''.join(parts)}{''.join(legend)}</svg>"
    )


def _legend_rows(
    entries: Sequence[Entry],
) -> list[list[Entry]]:
    rows: list[list[Entry]] = []
    used = math.inf
    for entry in entries:
        width = _entry_width(entry[0])
        if used + width > WIDTH - 12:
            rows.append([])
            used = 0.0
        rows[-1].append(entry)
        used += width
    return rows


def _entry_width(name: str) -> float:
    return 44 + _CHAR * len(_short(name))


def _short(name: str) -> str:
    """Return a name that fits the width; of a long one start and end."""
    name = escaped(name)
    half = _LONGEST_NAME // 2
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"


def _joined(values: Iterator[Array]) -> list[float]:
    return list(itertools.chain.from_iterable(each.tolist() for each in values))


def _text(text: str) -> str:
    return str(escape(escaped(text)))


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
