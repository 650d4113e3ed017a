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


def test_every_row_is_held_by_a_test_or_says_where(script: Any) -> None:
    tests = script.tests_by_id()
    assert [row.id for row in script.ROWS if row.id not in tests and not row.where] == []


def test_no_test_names_a_row_that_is_not_there(script: Any) -> None:
    assert script.tests_by_id().keys() <= {row.id for row in script.ROWS}
