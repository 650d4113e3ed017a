"""The table of docs/reliability.md: fault, what a user gets, and the tests that hold it.

`python -m tests.faults.fault_table` writes it anew; a test compares it with the docs. Tests name
the rows that they hold in their own name (`test_K4_...`); those of other rooms, which have plain
names, stand in the row.
"""

import functools
import re
from pathlib import Path

from tests.faults.fault_rows import ROWS, Row

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->\n", "<!-- faults: end -->\n"
_TEST = re.compile(r"^def (test_\w+)\(", re.MULTILINE)
_IDS = re.compile(r"(?<=_)[PCDKRS]\d{1,2}(?=_)")
_SHOWN = 2  # tests of a row that are named; the others are counted


@functools.cache
def named_tests() -> dict[str, set[str]]:
    """Return the tests (file::function) that name each row."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        file = path.relative_to(ROOT / "tests").as_posix()
        for test in _TEST.findall(path.read_text(encoding="utf-8")):
            for row in _IDS.findall(test):
                found.setdefault(row, set()).add(f"{file}::{test}")
    return found


def holding(row: Row) -> list[str]:
    """Return all tests that hold a row, those that name it first."""
    named = sorted(named_tests().get(row.id, ()))
    return [*named, *(test for test in row.tests if test not in named)]


def is_there(test: str) -> bool:
    """Return whether a test exists."""
    file, _, name = test.partition("::")
    path = ROOT / "tests" / file
    return path.is_file() and name in _TEST.findall(path.read_text(encoding="utf-8"))


def table() -> str:
    """Return the table in Markdown."""
    lines = ["| | fault | what you get | held by (tests/) |", "|---|---|---|---|"]
    for row in ROWS:
        tests = holding(row)
        shown = "<br>".join(_in_words(test) for test in tests[:_SHOWN])
        more = f"<br>and {len(tests) - _SHOWN} more" if len(tests) > _SHOWN else ""
        lines.append(f"| {row.id} | {row.fault} | {row.gets} | {shown}{more} |")
    return "\n".join(lines) + "\n"


def _in_words(test: str) -> str:
    file, _, name = test.partition("::")
    return f"`{file}`: {_IDS.sub('', name.removeprefix('test')).replace('_', ' ').strip()}"


def page_with_table(text: str) -> str:
    """Return the page with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
