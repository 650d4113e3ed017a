"""Marked steps as inputs of a dense reward model, by hand."""

from typing import Any

import pytest

from tgdpo_core.errors import DataError
from tgdpo_core.marks.responses import MarkedResponse
from tgdpo_core.marks.rows import parse_marked_row
from tgdpo_core.prm.fitting import IGNORED
from tgdpo_core.prm.inputs import StepInput, as_tensors, batches, split_by_problem, step_inputs
from tgdpo_core.prm.labels import step_labels


def response(steps: list[str], is_wrong: list[Any]) -> MarkedResponse:
    row = {"prompt": "q", "steps": steps, "first_error_step": None}
    (found,) = parse_marked_row(row, where="row").responses
    return MarkedResponse(found.text, found.steps, is_wrong)


@pytest.mark.parametrize(
    ("target", "labels"),
    [("unknown", [1, 0, IGNORED]), ("wrong", [1, 0, 0]), ("right", [1, 0, 1])],
)
def test_the_target_says_what_steps_behind_the_first_error_are(
    target: Any, labels: list[int]
) -> None:
    found = step_labels(response(["a", "b", "c"], [False, True, None]), target)
    assert found == (["a", "b", "c"], labels)


@pytest.mark.parametrize(
    ("steps", "is_wrong", "expected"),
    [
        (["a", " ", "b"], [False, True, None], (["a", "b"], [0, IGNORED])),
        (["a", "", "b"], [False, False, True], (["a", "b"], [1, 0])),
        ([" ", "a"], [True, None], (["a"], [0])),
    ],
)
def test_blank_steps_join_their_neighbour(
    steps: list[str], is_wrong: list[Any], expected: tuple[list[str], list[int]]
) -> None:
    assert step_labels(response(steps, is_wrong), "unknown") == expected


ROW = {"prompt": " one two\n", "steps": ["three", "four"], "first_error_step": 2}


def inputs(row: dict[str, Any], tokenizer: Any, max_length: int = 99) -> tuple[Any, Any]:
    parsed = parse_marked_row(row, where="rows:1")
    return step_inputs([parsed], tokenizer, target="unknown", max_length=max_length)


def test_labels_stand_on_the_last_token_of_the_line_break(small_tokenizer: Any) -> None:
    (found,), counts = inputs(ROW, small_tokenizer)
    plain = [
        small_tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in ("one two", "three", "\n", "four", "\n")
    ]
    assert found.ids == [0, *(i for ids in plain for i in ids)]  # 0 is BOS
    assert found.positions == [len([0, *plain[0], *plain[1], *plain[2]]) - 1, len(found.ids) - 1]
    assert found.labels == [1, 0]
    assert not counts["responses_cut"]


def test_steps_that_do_not_fit_in_whole_are_left_out(small_tokenizer: Any) -> None:
    (whole,), _ = inputs(ROW, small_tokenizer)
    (cut,), counts = inputs(ROW, small_tokenizer, max_length=len(whole.ids) - 1)
    assert (cut.positions, cut.labels) == (whole.positions[:1], [1])
    assert len(cut.ids) == whole.positions[0] + 1
    assert counts["responses_cut"] == 1
    none, counts = inputs(ROW, small_tokenizer, max_length=3)
    assert (none, counts["responses_left_out"]) == ([], 1)


def test_marked_characters_are_refused(small_tokenizer: Any) -> None:
    row = {"prompt": "q", "response": "abc", "error_spans": [[0, 1]]}
    with pytest.raises(DataError, match="rows:1: the marks are characters"):
        inputs(row, small_tokenizer)


def some_inputs(number: int) -> list[StepInput]:
    return [StepInput(range(i + 1), [i], [1], f"problem {i // 2}") for i in range(number)]


def test_no_problem_is_trained_on_and_held_out() -> None:
    training, held_out = split_by_problem(some_inputs(40), 0.25, seed=1)
    assert len(held_out) == 10
    assert not {e.problem for e in training} & {e.problem for e in held_out}
    assert split_by_problem(some_inputs(40), 0.25, seed=1) == (training, held_out)
    assert split_by_problem(some_inputs(40), 0, seed=1)[1] == []


def test_every_epoch_has_every_input_once_in_batches_of_similar_length() -> None:
    found = list(batches(some_inputs(100), batch_size=4, num_epochs=2, seed=0))
    assert len(found) == 50
    for epoch in (found[:25], found[25:]):
        assert sorted(len(e.ids) for batch in epoch for e in batch) == list(range(1, 101))
    spread = [max(len(e.ids) for e in b) - min(len(e.ids) for e in b) for b in found]
    assert sum(spread) / len(spread) < 10
    assert found[:25] != found[25:]


def test_padding_is_on_the_right_and_has_no_label() -> None:
    ids, labels = as_tensors([StepInput([5, 6], [1], [0], ""), StepInput([7], [0], [1], "")], 9)
    assert ids.tolist() == [[5, 6], [7, 9]]
    assert labels.tolist() == [[IGNORED, 0], [1, IGNORED]]
