"""Rows with a prompt and no responses, where prompts suffice."""

from typing import Any

import pytest

from tgdpo_core.data.columns import RowReading
from tgdpo_core.data.formats import parse_row, parse_rows
from tgdpo_core.data.report import DataReport, RowProblem

PROMPTS = RowReading(prompts_suffice=True)
USER = {"role": "user", "content": "Hello?"}


def prompt_of(row: dict[str, Any]) -> Any:
    return parse_row(row, where="here", reading=PROMPTS)


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"prompt": "Go on:"}, "Go on:"),
        ({"prompt": [USER]}, [USER]),
        ({"messages": [USER]}, [USER]),
        ({"conversations": [{"from": "human", "value": "Hello?"}]}, [USER]),
        ({"instruction": "Hello?"}, [USER]),
        ({"instruction": "Add", "input": "1 2"}, [{"role": "user", "content": "Add\n1 2"}]),
        ({"question": "Hello?"}, [USER]),
        (
            {"system": "Be brief.", "prompt": "Hello?"},
            [{"role": "system", "content": "Be brief."}, USER],
        ),
        ({"input": {"messages": [USER]}}, [USER]),
    ],
)
def test_a_prompt_in_any_known_layout_suffices(row: dict[str, Any], prompt: Any) -> None:
    found = prompt_of({**row, "topic": "t"})
    assert found.prompt == prompt
    assert not found.chosen
    assert not found.rejected
    assert found.columns == {"topic": "t"}


def test_the_answer_at_the_end_of_a_dialogue_is_left_out_and_counted() -> None:
    rows = [("here", {"messages": [USER, {"role": "assistant", "content": "Hi."}]})]
    report = DataReport("rows")
    (found,) = parse_rows(rows, report, PROMPTS)
    assert found.prompt == [USER]
    assert report.counts == {"last_answer_left_out": 1}


def test_pairs_are_read_as_pairs() -> None:
    found = prompt_of({"prompt": "p", "chosen": "a", "rejected": "b"})
    assert (found.prompt, found.chosen, found.rejected) == ("p", "a", "b")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "Hello?"}, "no column holds the prompt"),
        ({"prompt": " "}, "'prompt' is empty"),
        ({"prompt": 3}, "must be text"),
        ({"messages": [{"role": "system", "content": "s"}]}, "must end with a user"),
        ({"prompt": "p", "chosen": "a"}, "no field 'rejected'"),
    ],
)
def test_what_holds_no_prompt_is_a_bad_row(row: dict[str, Any], message: str) -> None:
    with pytest.raises(RowProblem, match=message):
        prompt_of(row)


def test_training_still_needs_responses() -> None:
    with pytest.raises(RowProblem, match="no field 'chosen'"):
        parse_row({"prompt": "p"}, where="here")
