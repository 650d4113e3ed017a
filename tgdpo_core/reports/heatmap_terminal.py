"""A heat map in the terminal: text of data is never markup, colours are backgrounds."""

from collections.abc import Iterator, Sequence
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

# From grey to blue and to orange: weak values stand back on light and on dark terminals alike, and
# white letters can be read on every level.
_WEAK: _Colour = (104, 108, 116)
_HIGH: _Colour = (10, 98, 214)
_LOW: _Colour = (200, 74, 0)
_SIDE_BY_SIDE = 72  # columns below which the responses stand one under the other


def print_heatmap(heatmap: Heatmap, console: Console) -> None:
    """Print the heat map on a terminal with colours."""
    for label, value in heatmap.facts:
        console.print(Text.assemble((f"{label:<9}", "dim"), escaped(value)))
    console.print()
    console.print(_legend("reward", heatmap.reward_scale))
    console.print(_legend("weight", heatmap.weight_scale))
    for pair in heatmap.pairs:
        console.print()
        console.print(_pair_panel(pair, heatmap, console.width))


def _legend(name: str, scale: Scale) -> Text:
    low, middle, high = scale.ticks()
    if not scale.reach:
        return Text(f"{name:<9}{middle} on every token")
    text = Text(f"{name:<9}").append(f"{low:>8} ")
    for level in range(-LEVELS, LEVELS + 1):
        text.append("  " if level else f" {middle} ", _style(level))
    return text.append(f" {high}")


def _pair_panel(pair: HeatPair, heatmap: Heatmap, width: int) -> Panel:
    inside = width - 4
    content: RenderableType
    if width >= _SIDE_BY_SIDE:
        column = (inside - 3) // 2
        sides = Table(box=box.MINIMAL, show_header=False, show_edge=False, pad_edge=False)
        blocks = [_blocks(response, heatmap, column) for response in pair.responses]
        for _ in blocks:
            sides.add_column(width=column, no_wrap=True)
        for row in zip(*blocks, strict=True):
            sides.add_row(*row)
        content = sides
    else:
        blocks = [_blocks(response, heatmap, inside) for response in pair.responses]
        content = Group(*(block for response in blocks for block in response))
    prompt = Text(escaped(pair.prompt), style="dim", overflow="fold")
    return Panel(
        Group(prompt, Text(), content),
        title=Text(escaped(pair.where)),
        title_align="left",
        border_style="dim",
    )


def _blocks(response: HeatResponse, heatmap: Heatmap, width: int) -> list[Text]:
    """Return the parts of one response that stand beside those of the other."""
    return [
        Text.assemble((response.side, "bold"), f"  {len(response.tokens)} tokens\n"),
        Text(f"reward, mean {number(response.mean_reward)}", style="italic"),
        _tokens([(t, t.reward) for t in response.tokens], heatmap.reward_scale, width),
        Text(f"weight, mean {number(response.mean_weight)}", style="italic"),
        _tokens([(t, t.weight) for t in response.tokens], heatmap.weight_scale, width),
    ]


def _tokens(values: Sequence[tuple[HeatToken, float]], scale: Scale, width: int) -> Text:
    """Return the tokens in lines of at most ``width`` cells, broken between tokens."""
    text, used = Text(), 0
    for token, value in values:
        shown = "".join(piece.text for piece in token.pieces)
        for part in _parts(shown, width):
            length = cell_len(part)
            if used + length > width:
                text.append("\n")
                used = 0
            text.append(part, _style(scale.level(value)))
            used += length
        if token.pieces and token.pieces[-1].kind == "newline":
            text.append("\n")
            used = 0
    return text.append("\n")


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
    if level == 0:
        return Style()
    share = (abs(level) + 1) / (LEVELS + 1)  # the weakest level has a hue, too
    end = _HIGH if level > 0 else _LOW
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(_WEAK, end, strict=True))
    return Style(color="#ffffff", bgcolor=f"rgb({red},{green},{blue})")
