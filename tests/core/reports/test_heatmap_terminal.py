"""The heat map in a terminal."""

import io
import re
from collections.abc import Callable

import pytest
from rich.cells import cell_len
from rich.console import Console

from tgdpo_core.reports.heatmap import heatmap
from tgdpo_core.reports.heatmap_terminal import print_heatmap
from tgdpo_core.scoring.pairs import ScoredPair

Make = Callable[..., ScoredPair]

_STYLES = re.compile(r"\x1b\[[\d;]*m")


def printed(pair: ScoredPair, *, width: int = 100) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor", height=99
    )
    shown = heatmap([pair], facts=[("model", pair.pair.pair.where)], token_name=lambda _: "</s>")
    print_heatmap(shown, console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def plain(pair: ScoredPair, *, width: int = 100) -> list[str]:
    return _STYLES.sub("", printed(pair, width=width)).splitlines()


def test_the_responses_stand_side_by_side_where_there_is_room(scored_pair: Make) -> None:
    pair = scored_pair([1.0], [1.0], tokens=(["left"], ["right"]))
    assert any(re.search("left .*right", line) for line in plain(pair, width=100))
    assert not any(re.search("left .*right", line) for line in plain(pair, width=50))


@pytest.mark.parametrize("width", [40, 72, 100])
def test_no_line_is_wider_than_the_terminal(scored_pair: Make, width: int) -> None:
    tokens = (["·long" * 50, "漢字" * 40], [" a"] * 80)
    pair = scored_pair([1.0, 0.1], [0.5] * 80, tokens=tokens, prompt="word " * 60)
    lines = plain(pair, width=width)
    assert max(map(cell_len, lines)) <= width
    assert sum(line.count("a") for line in lines if "word" not in line) >= 160


def test_good_and_bad_tokens_have_opposite_colours(scored_pair: Make) -> None:
    text = printed(scored_pair([1.0, -1.0, 0.0], [0.0], tokens=(["up", "down", "mid"], ["x"])))
    assert re.search(r"48;2;10;98;214m *up", text)
    assert re.search(r"48;2;200;74;0m *down", text)
    assert re.search(r"\x1b\[0mmid", text)


def test_markup_and_control_characters_of_the_data_are_only_text(scored_pair: Make) -> None:
    payload = "[bold red]x[/bold red] [/] \x1b]0;title\x07\x9b2J\u202e"
    pair = scored_pair([1.0], [0.0], tokens=([payload], ["no"]), prompt=payload, where=payload)
    text = printed(pair, width=300)
    rest = _STYLES.sub("", text)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", rest)
    assert rest.count("[bold red]x[/bold red] [/] \\x1b]0;title\\x07\\x9b2J\\u202e") == 3
    assert "[bold·red]x[/bold·red]·[/]·\\x1b]0;title\\x07\\x9b2J\\u202e" in rest


def test_a_newline_is_shown_and_ends_the_line(scored_pair: Make) -> None:
    pair = scored_pair([1.0, 1.0], [0.0], tokens=(["one\n", "two"], ["no"]))
    lines = plain(pair)
    assert any("one⏎" in line and "two" not in line for line in lines)
    assert any("two" in line for line in lines)


def test_the_legend_names_both_ends_and_the_middle(scored_pair: Make) -> None:
    lines = plain(scored_pair([1.0], [-1.0]))
    assert any(re.fullmatch(r"reward +\N{MINUS SIGN}1 +0 +1", line) for line in lines)
    assert any(re.fullmatch(r"weight +0\.5 +1 +1\.5", line) for line in lines)
