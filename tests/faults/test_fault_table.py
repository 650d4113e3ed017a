"""docs/reliability.md says of every fault what holds it, and no more than that."""

import pytest

from tests.faults import fault_table

pytestmark = pytest.mark.checkout


def test_the_table_of_the_docs_is_the_one_that_the_tests_make() -> None:
    page = fault_table.PAGE.read_text(encoding="utf-8")
    assert fault_table.page_with_table(page) == page, "run: python -m tests.faults.fault_table"


def test_every_row_of_the_matrix_is_held_by_a_test_that_exists() -> None:
    kinds = {"P": 15, "C": 11, "D": 10, "K": 12, "R": 7, "S": 12}
    expected = [f"{kind}{n}" for kind, count in kinds.items() for n in range(1, count + 1)]
    assert [row.id for row in fault_table.ROWS] == expected
    held = {row.id: fault_table.holding(row) for row in fault_table.ROWS}
    assert [name for name, tests in held.items() if not tests] == []
    assert [
        test for tests in held.values() for test in tests if not fault_table.is_there(test)
    ] == []


def test_no_test_names_a_row_that_is_not_there() -> None:
    assert fault_table.named_tests().keys() <= {row.id for row in fault_table.ROWS}
