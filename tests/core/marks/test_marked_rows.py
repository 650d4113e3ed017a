"""The layouts of marks in use, and rows that fit none of them."""

from typing import Any

import pytest

from tgdpo_core.data.report import DataReport, RowProblem
from tgdpo_core.marks.responses import MarkedRow, joined, located, marks_fingerprint
from tgdpo_core.marks.rows import parse_marked_row, parse_marked_rows

STEPS = ["a b", "c", "d e"]


def parse(row: dict[str, Any], **options: Any) -> MarkedRow:
    return parse_marked_row(row, where="rows.jsonl:1", **options)


@pytest.mark.parametrize(
    ("row", "is_wrong"),
    [
        ({"prompt": "q", "steps": STEPS, "first_error_step": 2}, [False, True, None]),
        ({"prompt": "q", "steps": STEPS, "first_error_step": 1}, [True, None, None]),
        ({"prompt": "q", "steps": STEPS, "first_error_step": None}, [False] * 3),
        ({"prompt": "q", "steps": STEPS, "first_error_step": -1}, [False] * 3),
        ({"input": "q", "steps": STEPS, "mistake_index": 2}, [False, False, True]),
        ({"prompt": "q", "steps": STEPS, "mistake_index": 1.0}, [False, True, None]),
        ({"prompt": "q", "steps": STEPS, "mistake_index": None}, [False] * 3),
        ({"problem": "q", "steps": STEPS, "label": 0}, [True, None, None]),
        ({"problem": "q", "steps": STEPS, "label": -1}, [False] * 3),
        ({"question": "q", "modified_process": STEPS, "error_steps": [1, 3]}, [True, False, True]),
        ({"prompt": "q", "completions": STEPS, "labels": [True, False, 1]}, [False, True, False]),
    ],
)
def test_a_layout_says_which_steps_are_wrong(row: dict[str, Any], is_wrong: list[Any]) -> None:
    (response,) = parse(row).responses
    assert list(response.is_wrong) == is_wrong
    assert response.text == "a b\nc\nd e"
    assert response.step_texts() == STEPS
    assert "".join(response.text[a:b] for a, b in response.steps) == response.text


def test_a_chosen_response_beside_marks_is_taken_as_right() -> None:
    row = {
        "prompt": "q",
        "chosen": "x\n\ny",
        "rejected": "a b\nc\nd e",
        "rejected_steps": STEPS,
        "first_error_step": 3,
    }
    chosen, rejected = parse(row).responses
    assert chosen.is_assumed
    assert list(chosen.is_wrong) == [False, False]
    assert chosen.step_texts() == ["x", "y"]
    assert (rejected.first_error, rejected.is_assumed) == (2, False)


def test_steps_are_found_in_a_text_that_joins_them_otherwise() -> None:
    row = {"prompt": "q", "response": "a b. c; d e\n", "steps": STEPS, "first_error_step": 2}
    (response,) = parse(row).responses
    assert [response.text[a:b] for a, b in response.steps] == ["a b. ", "c; ", "d e\n"]


def test_the_original_process_is_an_alternative_only_to_the_same_question() -> None:
    row = {"original_process": ["a", "b"], "modified_process": ["a", "c"], "error_steps": [2]}
    same = {"original_question": "q", "modified_question": "q"}
    assert parse(row | same).is_pair
    other = {"original_question": "q", "modified_question": "r"}
    found = parse(row | other)
    assert (found.is_pair, found.prompt) == (False, "r")


def test_characters_may_be_marked() -> None:
    row = {"prompt": "q", "chosen": "ok", "rejected": "not ok", "error_spans": [[0, 3]]}
    chosen, rejected = parse(row).responses
    assert (chosen.errors, chosen.is_assumed) == ((), True)
    assert rejected.errors == [(0, 3)]
    both = parse(row | {"chosen_error_spans": []})
    assert not both.responses[0].is_assumed
    (alone,) = parse({"prompt": "q", "response": "abc", "error_spans": None}).responses
    assert alone.errors == []


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        ({"first_error_step": 2}, {"mistake_index": 1}, True),
        ({"first_error_step": 3}, {"mistake_index": 0}, False),
        ({"first_error_step": 3}, {"mistake_index": None}, False),
        ({"first_error_step": None}, {"mistake_index": None}, True),
        ({"mistake_index": 1}, {"completions": STEPS, "labels": [1, 0, 1]}, True),
        ({"mistake_index": 1}, {"completions": STEPS, "labels": [0, 1, 1]}, False),
        ({"mistake_index": 1}, {"response": "a b\nc\nd e", "error_spans": [[4, 5]]}, True),
        ({"mistake_index": 1}, {"response": "a b\nc\nd e", "error_spans": []}, False),
        ({"first_error_step": 3}, {"label": 0}, True),  # a label may be anything
    ],
)
def test_marks_of_two_layouts_must_say_the_same(
    one: dict[str, Any], other: dict[str, Any], agree: bool
) -> None:
    row = {"prompt": "q", "steps": STEPS, **one, **other}
    if agree:
        assert parse(row).responses
        return
    with pytest.raises(RowProblem, match="mark different errors: keep the one that is true"):
        parse(row)


@pytest.mark.parametrize(("prompt", "gap"), [("q", "\n"), ("q\n", ""), ("q ", "")])
def test_a_line_break_stands_between_a_prompt_and_a_list_of_steps(prompt: str, gap: str) -> None:
    row = {"prompt": prompt, "steps": STEPS, "mistake_index": 0}
    assert parse(row).gap == gap


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "no marks of errors"),
        ({"steps": STEPS, "mistake_index": 0}, "no prompt"),
        ({"prompt": 3, "steps": STEPS, "mistake_index": 0}, "'prompt' must be text, found int"),
        (
            {"prompt": "q", "steps": STEPS, "mistake_index": 3},
            "must be 0 to 2, or null, found 3",
        ),
        ({"prompt": "q", "steps": STEPS, "mistake_index": -1}, "must be 0 to 2, or null"),
        ({"prompt": "q", "steps": STEPS, "mistake_index": "1"}, "found '1'"),
        ({"prompt": "q", "steps": STEPS, "mistake_index": True}, "found True"),
        (
            {"prompt": "q", "steps": STEPS, "first_error_step": 0},
            "must be 1 to 3, or null or -1, ",
        ),
        ({"prompt": "q", "steps": STEPS, "first_error_step": -2}, "or null or -1, found -2"),
        (
            {"prompt": "q", "steps": STEPS, "label": 3},
            "must be 0 to 2, or -1, found 3",
        ),
        (
            {"prompt": "q", "steps": STEPS, "label": None},
            "must be 0 to 2, or -1, found None",
        ),
        ({"prompt": "q", "steps": [], "label": 0}, "found an empty list"),
        ({"prompt": "q", "steps": ["a", None], "label": 0}, "'steps[1]' must be text"),
        ({"prompt": "q", "steps": ["", " "], "label": -1}, "a response is empty"),
        ({"prompt": "q", "completions": STEPS, "labels": [True]}, "a list of 3"),
        ({"prompt": "q", "completions": ["a"], "labels": ["yes"]}, "true or false"),
        ({"question": "q", "modified_process": STEPS, "error_steps": [4]}, "a list of 1 to 3"),
        ({"question": "q", "modified_process": STEPS, "error_steps": 2}, "a list of 1 to 3"),
        ({"prompt": "q", "response": "abc", "error_spans": [[1, 4]]}, "within the 3 characters"),
        ({"prompt": "q", "response": "abc", "error_spans": [[2, 1]]}, "within the 3 characters"),
        ({"prompt": "q", "error_spans": []}, "there is no 'rejected'"),
        (
            {"prompt": "q", "rejected": "z", "rejected_steps": STEPS, "first_error_step": 1},
            "do not stand in 'rejected'",
        ),
    ],
)
def test_a_row_that_fits_no_layout_is_refused_by_its_place(row: dict[str, Any], said: str) -> None:
    with pytest.raises(RowProblem) as caught:
        parse(row)
    assert said in str(caught.value)
    report = DataReport("rows.jsonl")
    assert parse_marked_rows([("rows.jsonl:7", row)], report) == []
    assert report.problems[0].startswith("rows.jsonl:7: ")


def test_a_step_keeps_the_separator_behind_it() -> None:
    text, ranges = joined(["a", "bc"], "\n\n")
    assert (text, ranges) == ("a\n\nbc", [(0, 3), (3, 5)])
    assert located(text, ["a", "bc"]) == ranges
    assert located(text, ["bc", "a"]) is None
    assert located(text, ["a"]) is None  # something is left


def test_the_fingerprint_is_of_content_and_not_of_place() -> None:
    row = {"prompt": "q", "steps": STEPS, "mistake_index": 1}
    elsewhere = parse_marked_row(row, where="other.jsonl:9")
    assert marks_fingerprint([parse(row)]) == marks_fingerprint([elsewhere])
    moved = parse(row | {"mistake_index": 2})
    assert marks_fingerprint([parse(row)]) != marks_fingerprint([moved])


def test_an_empty_chosen_response_is_none() -> None:
    row = {"prompt": "q", "chosen": " ", "rejected_steps": STEPS, "first_error_step": 1}
    assert not parse(row).is_pair
