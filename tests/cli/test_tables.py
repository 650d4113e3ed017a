"""Tables at several widths of the screen: what is kept, what stands right, what is left out."""

import pytest
from rich.cells import cell_len

from tgdpo_cli.tables import WIDE, table_lines

HEADER = [
    "cell",
    "seeds",
    "peak: judge (epoch)",
    "end: judge",
    "end \N{MINUS SIGN} baseline",
    "why",
]
NAMES = ["dpo,beta=0.05", "induced+permute,beta=0.1 (control)"]
ROWS = [
    [NAMES[0], "2", "0.617 ± 0.077 (2)", "0.567 ± 0.110", "\N{EN DASH}", "is the baseline"],
    [NAMES[1], "1 of 2", "0.766 ± 0.023 (3)", "0.766", "+0.149 [+0.021, +0.277]", "not known"],
]


@pytest.mark.parametrize("width", [40, 60, 80, 120, WIDE])
def test_no_name_is_cut_and_no_line_is_wider_than_the_screen(width: int) -> None:
    lines = table_lines(HEADER, ROWS, width=width)
    for name in NAMES:
        assert any(line.startswith(name) for line in lines), lines
    assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize("width", [60, 80, 100])
def test_every_cell_is_whole_or_its_column_is_named_as_left_out(width: int) -> None:
    lines = table_lines(HEADER, ROWS, width=width, rest="results.md")
    text = "\n".join(lines)
    for i, title in enumerate(HEADER[1:-1], start=1):
        is_shown = all(row[i] in text for row in ROWS)
        said = " ".join(lines[-3:])
        assert is_shown or (title in said and "results.md" in said), (title, text)


def test_numbers_stand_right_and_words_left() -> None:
    lines = table_lines(
        ["name", "size", "what"], [["a", "1.5 MB", "x"], ["b", "12.5 MB", "longer"]]
    )
    assert lines == ["name     size  what", "a      1.5 MB  x", "b     12.5 MB  longer"]


def test_on_a_narrow_screen_the_columns_that_matter_most_stay() -> None:
    lines = table_lines(HEADER, ROWS, width=82, first=["end: judge", HEADER[4]], rest="results.md")
    assert "+0.149 [+0.021, +0.277]" in "\n".join(lines)
    assert "more columns" in " ".join(lines)


def test_where_names_leave_no_room_every_row_is_a_block_with_all_cells() -> None:
    lines = table_lines(HEADER, ROWS, width=50)
    assert lines[0] == NAMES[0]
    text = "\n".join(lines)
    assert all(cell in text for row in ROWS for cell in row[1:])
    assert "more column" not in text


def test_a_long_word_is_folded_and_nothing_of_it_is_lost() -> None:
    path = "/".join(["folder"] * 20)
    lines = table_lines(["what", "found"], [["store", path]], width=60)
    assert "".join(line[7:].strip() for line in lines[1:]) == path
    assert max(map(cell_len, lines)) <= 60


def test_what_data_say_is_no_markup_and_wide_characters_count_as_two() -> None:
    lines = table_lines(["name", "n"], [["[bold]x[/bold]", "1"], ["日本", "2"]])
    assert lines[1].startswith("[bold]x[/bold]")
    assert {cell_len(line) for line in lines[1:]} == {cell_len(lines[1])}
