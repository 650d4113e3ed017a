"""The lines of a word list: an entry and its value each; what cannot be read is refused."""

import csv
import math
import re
from collections.abc import Iterator, Sequence

HEADINGS = (
    "value values valence score scores rating ratings weight weights polarity sentiment strength "
    "intensity happiness toxicity formality mean average sum v"
)
"""Words that head a column of values; a first line is a header only by them."""

_HEADING_WORDS = frozenset(HEADINGS.split())
_NUM_SHOWN = 60  # characters of a line in messages
_LETTERS = re.compile(r"[^\W\d_]+")
# A word and a number that the separator of another kind of table parts.
_OTHER_TABLE = re.compile(r".*[^\W\d_].*[;,\t|]\s*[-+]?\d+(?:\.\d+)?", re.DOTALL)


def entries(path: str, text: str, *, value: float | None) -> Iterator[tuple[str, str, float]]:
    """Yield place, entry and value of each line; remarks and a header have none.

    A header is the first line that is no remark, if its second cell has letters and all its words
    are among ``HEADINGS``.

    Args:
        path: of the file; ``.csv``: a comma parts word and value, else a tab.
        text: what stands in it.
        value: of words that stand alone; None: every word has its own.

    Raises:
        ValueError: a line has no word, no value, or no finite one, or is no line of such a table;
            file and line are named.
    """
    separator = "," if path.lower().endswith(".csv") else "\t"
    is_first = True
    # No splitlines: it ends lines at U+2028 and other characters that stand inside of them.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        cells = _cells(line, separator, where)
        if len(cells) == 1 and line.startswith(("#", ";")):
            continue
        if not (is_first and _is_header(cells)):
            yield where, *_entry(cells, separator, where=where, line=line, value=value)
        is_first = False


def _cells(line: str, separator: str, where: str) -> list[str]:
    if separator == "\t":
        return line.split("\t")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise ValueError(
            f"{where}: {line[:_NUM_SHOWN]!r} cannot be read as CSV ({error}). A cell that begins "
            "with a double quote ends with one, on the same line; one inside of it is doubled"
        ) from error


def _is_header(cells: Sequence[str]) -> bool:
    words = _LETTERS.findall(cells[1].lower()) if len(cells) > 1 else []
    return bool(words) and all(word in _HEADING_WORDS for word in words)


def _entry(
    cells: Sequence[str], separator: str, *, where: str, line: str, value: float | None
) -> tuple[str, float]:
    entry = cells[0].strip()
    has_value = len(cells) > 1
    if _OTHER_TABLE.fullmatch(entry):
        raise ValueError(
            f"{where}: {line[:_NUM_SHOWN]!r} is no line of this table: word and value are parted "
            "by a comma in a file .csv, else by a tab, and a number has a decimal point"
        )
    if entry and not has_value:
        if value is None:
            raise ValueError(
                f"{where}: '{entry}' has no value. Say what such words count, value=-1 for bad "
                f"ones, or write {'word,value' if separator == ',' else 'word<TAB>value'}"
            )
        return entry, value
    number = _number(cells[1]) if has_value else None
    if number is None or not entry:
        raise ValueError(
            f"{where}: expected a word and a finite number (2, -1.5), found {line[:_NUM_SHOWN]!r}. "
            f"A header names its second column by one of: {', '.join(HEADINGS.split())}"
        )
    return entry, number


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None
