"""A line is a row, also where the file has one and the row holds a list of objects."""

from pathlib import Path

import pytest

from tgdpo_core.data.report import RowProblem
from tgdpo_core.errors import DataError
from tgdpo_core.exchange.tool_rows import tool_rows


def test_a_line_that_holds_a_list_of_objects_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"games": [{"score": "A=B"}]}\n')
    assert list(tool_rows(path)) == [("a.jsonl:1", {"games": [{"score": "A=B"}]})]


@pytest.mark.parametrize("line", ["[1]", "{", "3", '"a"'])
def test_a_line_that_is_no_object_is_a_problem_of_its_own(line: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"a": 1}}\n\n{line}\n{{"a": 2}}\n')
    (_, first), (where, problem), (_, last) = tool_rows(path)
    assert (first, last) == ({"a": 1}, {"a": 2})
    assert where == "a.jsonl:3"
    assert isinstance(problem, RowProblem)


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": "\xff"}\n')
    with pytest.raises(DataError, match=r"a.jsonl cannot be read"):
        list(tool_rows(path))
