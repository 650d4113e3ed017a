"""A heat map in the terminal: text of data is never markup, colours are backgrounds."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group
from rich.panel import Panel
from rich.style import Style
from rich.table import Table
from rich.text import Text

from tgdpo_core.reports.heatmap import (
    LEVELS,
    Heatmap,
    HeatPair,
    HeatResponse,
    HeatToken,
    Scale,
    number,
)
from tgdpo_core.reports.visible import escaped

if TYPE_CHECKING:
    from rich.console import RenderableType

_Colour = tuple[int, int, int]
Drawn = Callable[[int, str], Text]
"""Draws a level, from -LEVELS to LEVELS, over or under a text."""

# From grey to blue and to orange: weak values stand back on light and on dark terminals alike, and
# white letters can be read on every level.
_WEAK: _Colour = (104, 108, 116)
_HIGH: _Colour = (10, 98, 214)
_LOW: _Colour = (200, 74, 0)
_MORE, _LESS = "\N{UPPER ONE EIGHTH BLOCK}", "\N{BOX DRAWINGS LIGHT TRIPLE DASH HORIZONTAL}"
_NARROWEST = 0.3  # share of the width that the shorter response has
_SIDE_BY_SIDE = 72  # columns below which the responses stand one under the other


def print_heatmap(heatmap: Heatmap, console: Console) -> None:
    """Print the heat map on a terminal with colours."""
    for label, value in heatmap.facts:
        console.print(Text.assemble((f"{label:<9}", "dim"), escaped(value)))
    console.print()
    console.print(_legend("reward", heatmap.reward_scale))
    weights = _legend("weight", heatmap.weight_scale, _weight_line)
    if heatmap.is_negligible:
        weights.append("\nWeights hardly differ from token to token: no lines are drawn.", "italic")
    elif heatmap.weight_scale.reach:
        weights.append("\nThe line under a token is its weight, the colour its reward.", "italic")
    console.print(weights)
    for pair in heatmap.pairs:
        console.print()
        console.print(_pair_panel(pair, heatmap, console.width))


def _reward_cells(level: int, part: str) -> Text:
    return Text(part, _style(level))


def _legend(name: str, scale: Scale, drawn: Drawn = _reward_cells) -> Text:
    low, middle, high = scale.ticks()
    if not scale.reach:
        return Text(f"{name:<9}{middle} on every token")
    text = Text(f"{name:<9}").append(f"{low:>8} ")
    for level in range(-LEVELS, LEVELS + 1):
        text.append_text(drawn(level, "  ") if level else Text(f" {middle} "))
    return text.append(f" {high}")


def _pair_panel(pair: HeatPair, heatmap: Heatmap, width: int) -> Panel:
    inside = width - 4
    content: RenderableType
    if width >= _SIDE_BY_SIDE:
        columns = _columns(pair, inside - 3)
        sides = Table(box=box.MINIMAL, show_header=False, show_edge=False, pad_edge=False)
        for column in columns:
            sides.add_column(width=column, no_wrap=True)
        sides.add_row(
            *(_response(r, heatmap, w) for r, w in zip(pair.responses, columns, strict=True))
        )
        content = sides
    else:
        content = Group(*(_response(response, heatmap, inside) for response in pair.responses))
    prompt = Text(escaped(pair.prompt), style="dim", overflow="fold")
    return Panel(
        Group(prompt, Text(), content),
        title=Text(escaped(pair.title)),
        title_align="left",
        border_style="dim",
    )


def _columns(pair: HeatPair, width: int) -> list[int]:
    """Return widths of the two responses: the longer one is given more, so that none is empty."""
    first, second = (
        sum(cell_len(piece.text) for token in response.tokens for piece in token.pieces)
        for response in pair.responses
    )
    share = first / (first + second) if first + second else 0.5
    left = round(width * min(1 - _NARROWEST, max(_NARROWEST, share)))
    return [left, width - left]


def _response(response: HeatResponse, heatmap: Heatmap, width: int) -> Text:
    """Return one response in lines of at most ``width`` cells, broken between tokens.

    Backgrounds are rewards; the line under a token is its weight.
    """
    has_weights = heatmap.weight_scale.reach > 0 and not heatmap.is_negligible
    text = Text.assemble((response.side, "bold"), f"  {len(response.tokens)} tokens\n")
    means = f"r {number(response.mean_reward)}, f {number(response.mean_weight)} on average\n"
    text.append(means, "italic")
    for line in _lines(response.tokens, width):
        for part, token in line:
            text.append_text(_reward_cells(heatmap.reward_scale.level(token.reward), part))
        text.append("\n")
        if has_weights:
            for part, token in line:
                text.append_text(_weight_line(heatmap.weight_scale.level(token.weight), part))
            text.append("\n")
    return text


def _weight_line(level: int, part: str) -> Text:
    """Return the line under a part of a token: solid above the middle, dotted below it."""
    cells = cell_len(part)
    if not level:
        return Text(" " * cells)
    return Text((_MORE if level > 0 else _LESS) * cells, Style(color=_colour(level)))


def _lines(tokens: Sequence[HeatToken], width: int) -> Iterator[list[tuple[str, HeatToken]]]:
    """Yield lines of parts of tokens; a token with a line break ends one."""
    line: list[tuple[str, HeatToken]] = []
    used = 0
    for token in tokens:
        shown = "".join(piece.text for piece in token.pieces)
        for part in _parts(shown, width):
            length = cell_len(part)
            if line and used + length > width:
                yield line
                line, used = [], 0
            line.append((part, token))
            used += length
        if token.pieces and token.pieces[-1].kind == "newline":
            yield line
            line, used = [], 0
    if line:
        yield line


def _parts(text: str, width: int) -> Iterator[str]:
    """Yield text in parts that fit a line."""
    part, used = "", 0
    for char in text:
        length = cell_len(char)
        if part and used + length > width:
            yield part
            part, used = "", 0
        part, used = part + char, used + length
    yield part


def _style(level: int) -> Style:
    return Style(color="#ffffff", bgcolor=_colour(level)) if level else Style()


def _colour(level: int) -> str:
    """Return the colour of a level that is not the middle."""
    share = (abs(level) + 1) / (LEVELS + 1)  # the weakest level has a hue, too
    end = _HIGH if level > 0 else _LOW
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(_WEAK, end, strict=True))
    return f"rgb({red},{green},{blue})"
