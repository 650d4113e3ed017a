"""D8: whatever bytes a file of rows holds: each row is read as it stands there, or refused."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.fuzz.effort import cases, outcome
from tests.faults.fuzz.mutations import as_json, damaged, edited
from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.sources import load_rows
from tgdpo_core.errors import TgdpoError
from tgdpo_core.plugin_api.manager import PluginManager

PLUGINS = PluginManager(env={"TGDPO_LOAD_PLUGINS": ""})
ROWS: list[dict[str, Any]] = [
    {"prompt": f"Question {i}: café?", "chosen": f"Yes, {i} 🎉.", "rejected": f"No, {i}."}
    for i in range(3)
]
CHATS: list[dict[str, Any]] = [
    {
        "chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": f"a{i}"}],
        "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}],
        "score": i,
    }
    for i in range(3)
]
LINES = b"".join(as_json(row) + b"\n" for row in [*ROWS])
UTF8_LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
CSV = b'prompt,chosen,rejected\n"a, b",yes,no\nc,"so ""it""\nis",nope\n'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows")


@pytest.fixture(scope="module")
def read(place: Path) -> Callable[[str, bytes], Any]:
    """A function: name, bytes -> rows and pairs, or the error."""

    def call(name: str, data: bytes) -> Any:
        path = place / name
        path.write_bytes(data)

        def act() -> Any:
            rows = list(load_rows(str(path), split="train", plugins=PLUGINS))
            report = DataReport(name)
            return rows, parse_rows(iter(rows), report), report

        found = outcome(act)
        if isinstance(found, TgdpoError):
            assert found.exit_code == 3, found
        return found

    return call


@cases()
@given(data=damaged(LINES) | damaged(UTF8_LINES))
def test_a_line_is_read_as_it_stands_there_or_refused(
    data: bytes, read: Callable[[str, bytes], Any]
) -> None:
    found = read("rows.jsonl", data)
    if isinstance(found, TgdpoError):
        assert "rows.jsonl" in str(found)
        return
    rows, pairs, report = found
    assert len(pairs) + len(report.problems) == len(rows) == report.num_rows
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for where, row in rows:
        number = where.rpartition(":")[2]
        if number.isdecimal() and isinstance(row, dict):
            assert row == json.loads(lines[int(number) - 1].decode("utf-8"))


@cases(0.5)
@given(rows=edited(ROWS) | edited(CHATS) | st.lists(edited(ROWS[0]) | edited(CHATS[0]), max_size=3))
def test_a_row_becomes_the_pair_that_it_says_or_a_problem(
    rows: Any, read: Callable[[str, bytes], Any]
) -> None:
    found = read("rows.json", as_json(rows))
    if isinstance(found, TgdpoError):
        return
    _, pairs, report = found
    assert len(pairs) + len(report.problems) == report.num_rows
    for pair in pairs:
        texts = [pair.chosen, pair.rejected]
        said = [t if isinstance(t, str) else t[-1]["content"] for t in texts]
        assert said[0] != said[1]
        assert all(json.dumps(text)[1:-1].strip() in json.dumps(rows) for text in said)


@cases(0.3)
@given(data=damaged(gzip.compress(LINES, mtime=0)))
def test_a_compressed_file_is_read_whole_or_refused(
    data: bytes, read: Callable[[str, bytes], Any]
) -> None:
    found = read("rows.jsonl.gz", data)
    if not isinstance(found, TgdpoError):
        rows = [row for _, row in found[0]]
        assert rows == ROWS * (len(rows) // len(ROWS))  # a file may be several, one after another


@cases(0.3)
@given(data=damaged(CSV))
def test_a_table_has_a_cell_for_every_column_or_is_refused(
    data: bytes, read: Callable[[str, bytes], Any]
) -> None:
    found = read("rows.csv", data)
    if isinstance(found, TgdpoError):
        return
    for _, row in found[0]:
        assert not isinstance(row, dict) or all(isinstance(cell, str) for cell in row.values())
