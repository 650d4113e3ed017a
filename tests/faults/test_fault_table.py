"""docs/reliability.md says of every fault what holds it, and no more than that."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.checkout


@pytest.fixture(scope="module")
def script() -> Any:
    """The script that makes the table."""
    path = Path(__file__).with_name("fault_table.py")
    spec = importlib.util.spec_from_file_location("fault_table", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_the_docs_is_the_one_that_the_tests_make(script: Any) -> None:
    page = script.PAGE.read_text(encoding="utf-8")
    assert script.page_with_table(page) == page, "run: python tests/faults/fault_table.py"


def test_every_row_of_the_matrix_is_held_by_a_test_that_exists(script: Any) -> None:
    kinds = {"P": 15, "C": 11, "D": 10, "K": 12, "R": 7, "S": 12}
    expected = [f"{kind}{n}" for kind, count in kinds.items() for n in range(1, count + 1)]
    assert [row.id for row in script.ROWS] == expected
    held = {row.id: script.holding(row) for row in script.ROWS}
    assert [name for name, tests in held.items() if not tests] == []
    assert [test for tests in held.values() for test in tests if not script.is_there(test)] == []


def test_no_test_names_a_row_that_is_not_there(script: Any) -> None:
    assert script.named_tests().keys() <= {row.id for row in script.ROWS}
