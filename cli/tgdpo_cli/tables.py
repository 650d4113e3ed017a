"""Tables as text: names are never cut, numbers stand right, and no line is wider than the screen.

Where a screen is too narrow for all columns, those that matter least are left out and named below.
Where names leave no room beside them, every row becomes a small block of its own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

WIDE = 100_000  # columns of what is no screen: a file takes lines of any length
_GAP = 2  # as rich puts between columns without a box
_NARROWEST_TEXT = 16  # a column of sentences is not squeezed further
_LONGEST_WORD = 18  # longer ones (paths) are folded
_ENOUGH = 3  # columns beside the names; with fewer of them, rows become blocks

_UNITS = r"(?:of|s|ms|h|x|B|[kKMGT]i?B|nats?|pairs?)"
_NUMBER = re.compile(
    rf"[-+\u2212\u00b1~<>=(\[]*\.?\d(?:[\d\s.,:/%*eE()\[\]+\u2212\u00b1\u2013-]|{_UNITS}\b)*"
)
_BLANK = re.compile(r"[-\u2013\s]*|nan|inf|-inf")


@dataclass(frozen=True)
class _Column:
    """A column and the room that it needs.

    Attributes:
        header: its name.
        cells: its texts.
        is_name: whether it is never broken.
        is_number: whether it stands right.
        least: cells of the screen that it takes at least.
        most: what it takes where there is room.
    """

    header: str
    cells: Sequence[str]
    is_name: bool
    is_number: bool
    least: int
    most: int


def table_lines(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int = WIDE,
    names: int = 1,
    first: Sequence[str] = (),
    rest: str = "--json",
) -> list[str]:
    """Return the lines of a table.

    Args:
        header: names of the columns.
        rows: one text a column.
        width: cells of the screen; no line is longer, but for names that are longer themselves.
        names: so many columns at the left are names.
        first: the columns that matter most, for a narrow screen; then they go from left to right.
        rest: where the columns are that do not fit.
    """
    columns = [
        _column(name, [row[i] for row in rows], is_name=i < names) for i, name in enumerate(header)
    ]
    order = sorted(range(names, len(columns)), key=lambda i: _rank(header[i], first))
    shown = set(range(names))
    room = width - sum(columns[i].least + _GAP for i in shown) + _GAP
    for i in order:
        if columns[i].least + _GAP <= room:
            shown.add(i)
            room -= columns[i].least + _GAP
    if len(shown) - names < min(_ENOUGH, len(order)):
        return _blocks(columns, names, width)
    lines = _rendered([columns[i] for i in sorted(shown)], width)
    if left_out := [header[i] or "a note" for i in order if i not in shown]:
        what = f"{len(left_out)} more column{'s' if len(left_out) > 1 else ''}"
        said = f"{what} ({', '.join(left_out)}): a wider screen, or {rest}."
        lines += ["", *_wrapped(said, width)]
    return lines


def _rank(name: str, first: Sequence[str]) -> int:
    return first.index(name) if name in first else len(first)


def _column(header: str, cells: Sequence[str], *, is_name: bool) -> _Column:
    from rich.cells import cell_len

    longest = max((cell_len(cell) for cell in cells), default=0)
    words = [min(cell_len(word), _LONGEST_WORD) for word in header.split()]
    filled = [cell for cell in cells if not _BLANK.fullmatch(cell)]
    is_number = bool(filled) and all(_NUMBER.fullmatch(cell) for cell in filled)
    least = longest if is_name or is_number else min(longest, _narrowest(cells))
    return _Column(
        header,
        cells,
        is_name,
        is_number,
        max([least, *words]),
        max(longest, cell_len(header)),
    )


def _narrowest(cells: Sequence[str]) -> int:
    """Return the room in which sentences can be read."""
    from rich.cells import cell_len

    longest = max((cell_len(word) for cell in cells for word in cell.split()), default=0)
    return max(_NARROWEST_TEXT, min(longest, _LONGEST_WORD))


def _blocks(columns: Sequence[_Column], names: int, width: int) -> list[str]:
    """Return every row as its names, and its other cells in lines below."""
    lines = []
    for row in zip(*(column.cells for column in columns), strict=True):
        lines.append("  ".join(filter(None, row[:names])))
        filled = [
            (column.header, cell)
            for column, cell in zip(columns[names:], row[names:], strict=True)
            if cell.strip()
        ]
        if filled:
            titles, cells = zip(*filled, strict=True)
            pair = (_column("", titles, is_name=False), _column("", cells, is_name=False))
            block = _rendered(pair, width - _GAP)
            lines += [" " * _GAP + line for line in block[1:]]  # the first is an empty header
    return lines


def _rendered(columns: Sequence[_Column], width: int) -> list[str]:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False)
    for column, cells in zip(columns, _widths(columns, width), strict=True):
        grid.add_column(
            Text(column.header),  # Text: what data and plugins say is never markup
            justify="right" if column.is_number else "left",
            no_wrap=column.is_name,
            overflow="fold",
            width=cells,
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        grid.add_row(*(Text(cell) for cell in row))
    needed = sum(column.least + _GAP for column in columns)
    console = Console(width=max(width, needed), color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(grid)
    return [line.rstrip() for line in capture.get().splitlines()]


def _widths(columns: Sequence[_Column], width: int) -> list[int]:
    """Return the room of each column: what it needs, then, sentences first, what it would take."""
    widths = [column.least for column in columns]
    room = width - sum(widths) - _GAP * (len(widths) - 1)
    for i, column in sorted(enumerate(columns), key=lambda item: item[1].is_number):
        more = min(max(room, 0), column.most - column.least)
        widths[i] += more
        room -= more
    return widths


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)
