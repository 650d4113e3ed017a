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
    assert sum(line.count("a") for line in lines if "word" not in line) >= 80


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
    assert any(re.fullmatch(r"weight +0\.5 ┄+ 1 ▔+ 1\.5", line) for line in lines)


def under(lines: list[str], text: str) -> str:
    """Return what stands under a text, in the columns that it takes."""
    at = next(i for i, line in enumerate(lines) if text in line)
    column = lines[at].index(text)
    return lines[at + 1][column : column + len(text)]


def test_the_weight_is_a_line_under_its_token(scored_pair: Make) -> None:
    tokens = (["more", "less", "same"], ["other"])
    pair = scored_pair([1.0, -1.0, 0.0], [0.5], tokens=tokens, weights=[1.5, 0.5, 1.0, 0.75])
    lines = plain(pair)
    found = [under(lines, text) for text in ("more", "less", "same", "other")]
    assert found == ["▔▔▔▔", "┄┄┄┄", "    ", "┄┄┄┄┄"]
    assert re.search(r"38;2;10;98;214m▔+", printed(pair))
    assert any(line.startswith("The line under a token is its weight") for line in lines)


@pytest.mark.parametrize(
    ("weights", "said"),
    [([1.0, 1.0], r"weight +1 on every token"), ([1.001, 0.999], r"Weights hardly differ .*")],
)
def test_where_weights_say_nothing_there_are_no_lines(
    scored_pair: Make, weights: list[float], said: str
) -> None:
    lines = plain(scored_pair([1.0], [0.0], tokens=(["one"], ["two"]), weights=weights))
    assert any(re.fullmatch(said, line) for line in lines)
    assert not any(mark in line for line in lines for mark in "▔┄" if "│" in line)


def test_the_longer_response_has_the_wider_column(scored_pair: Make) -> None:
    tokens = ([" long"] * 90, [" short"] * 11)
    lines = plain(scored_pair([1.0] * 90, [0.0] * 11, tokens=tokens))
    head = next(line for line in lines if "rejected  11 tokens" in line)
    assert head.index("rejected") > 60
    assert sum("long" in line for line in lines) < 10


def test_a_pair_has_its_number(scored_pair: Make) -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    pair = scored_pair([1.0], [0.0])
    print_heatmap(heatmap([pair], facts=[], token_name=str, numbers=[0]), console)
    assert "pair 0 (pairs.jsonl:1)" in console.file.getvalue()  # type: ignore[attr-defined]
