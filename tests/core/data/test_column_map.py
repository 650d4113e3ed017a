"""``data.columns``: what the names of columns do not say."""

from typing import Any

import pytest

from tgdpo_core.data.columns import RowReading
from tgdpo_core.data.formats import parse_row, parse_rows
from tgdpo_core.data.report import DataReport
from tgdpo_core.errors import DataError, RecipeError
from tgdpo_core.recipe.loading import resolve_recipe

TEXTS = {"chosen": "It is 4.", "rejected": "It is 5."}


def test_columns_are_mapped() -> None:
    row = {"ask": "2+2=", "good": "4", "bad": "5", "prompt": "unused", "score": 1}
    columns = {"prompt": "ask", "chosen": "good", "rejected": "bad"}
    pair = parse_row(row, where="here", reading=RowReading(columns=columns))
    assert (pair.prompt, pair.chosen, pair.rejected) == ("2+2=", "4", "5")
    assert pair.columns == {"prompt": "unused", "score": 1}


def test_a_column_mapped_to_null_is_left_alone() -> None:
    row = {"prompt": "2+2=", "system": "s", **TEXTS}
    pair = parse_row(row, where="here", reading=RowReading(columns={"system": None}))
    assert pair.prompt == "2+2="
    assert pair.columns == {"system": "s"}


@pytest.mark.parametrize("columns", [{"prompt": "ask"}, {"system": None}], ids=["field", "null"])
def test_a_map_of_a_column_that_no_row_has_is_an_error(columns: dict[str, Any]) -> None:
    rows = [("1", {"prompt": "a", **TEXTS}), ("2", {"prompt": "b", "Ask": "c", **TEXTS})]
    with pytest.raises(
        DataError, match=r"which no row has.*Available: Ask, chosen, prompt, rejected"
    ):
        parse_rows(rows, DataReport("rows"), RowReading(columns=columns))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("{promt: a}", "'promt' is no field of a row. Did you mean 'prompt'"),
        ("{chosen: a, rejected: a}", "the column 'a' is named for 'chosen' and 'rejected'"),
        ("{question: a, query: b}", "two columns are named for 'question'"),
    ],
)
def test_a_map_that_cannot_be_meant_is_a_recipe_error(columns: str, message: str) -> None:
    settings = {"data.path": "x", "output_dir": "y"}
    with pytest.raises(RecipeError, match=message):
        resolve_recipe({}, overrides=[f"data.columns={columns}"], settings=settings)
