"""Marks on tokens, worked out by hand on a tokenizer of single characters."""

from typing import Any

import numpy as np
import pytest

from tests.conftest import train_bpe
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.marks.rows import parse_marked_row
from tgdpo_core.marks.tokens import NO_ERROR, UNKNOWN, MarkedTokens, mark_tokens


@pytest.fixture(scope="module")
def characters() -> Any:
    """A tokenizer with one token a byte, BOS in front."""
    return train_bpe(["a"], vocab_size=259)


def marked(rows: list[dict[str, Any]], tokenizer: Any, max_length: int = 99) -> MarkedTokens:
    parsed = [parse_marked_row(row, where=f"row {i}") for i, row in enumerate(rows)]
    pairs = [
        PreferencePair(
            row.prompt + row.gap,
            row.responses[0].text,
            row.responses[1].text if row.is_pair else "",
            row.where,
        )
        for row in parsed
    ]
    report = DataReport("rows")
    tokens = tokenize_pairs(pairs, tokenizer, LengthLimits(max_length), report)
    assert not report.problems
    return mark_tokens(parsed, tokens)


ROW = {"prompt": "q", "steps": ["ab", "c", "de"], "first_error_step": 2}


def test_tokens_take_the_label_of_their_step_and_eos_belongs_to_the_last(characters: Any) -> None:
    found = marked([ROW], characters)
    # a b \n | c \n | d e EOS
    assert found.token_labels.tolist() == [0, 0, 0, 1, 1, -1, -1, -1]
    assert found.token_steps.tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    assert found.step_labels.tolist() == [0, 1, -1]
    assert found.first_error.tolist() == [1]
    assert found.step_means(np.arange(8.0)).tolist() == [1, 3.5, 6]


@pytest.mark.parametrize(
    ("max_length", "labels", "steps", "first_error"),
    [
        (2 + 1 + 5, [0, 0, 0, 1, 1], [0, 0, 0, 1, 1], 1),  # cut behind the second step
        (2 + 1 + 4, [0, 0, 0, -1], [0, 0, 0, -1], UNKNOWN),  # the second step is cut
        (2 + 1 + 2, [-1, -1], [-1, -1], UNKNOWN),
    ],
)
def test_what_the_length_limit_cuts_is_not_judged(
    characters: Any, max_length: int, labels: list[int], steps: list[int], first_error: int
) -> None:
    found = marked([ROW], characters, max_length)  # BOS, q, line break
    assert found.token_labels.tolist() == labels
    assert found.token_steps.tolist() == steps
    assert found.first_error.tolist() == [first_error]
    assert found.counts["responses_cut"] == 1
    assert found.counts["first_errors_cut"] == (first_error == UNKNOWN)


def test_with_marked_characters_every_token_is_a_step(characters: Any) -> None:
    row = {"prompt": "q", "response": "abcd", "error_spans": [[1, 3], [4, 4]]}
    found = marked([row], characters)
    assert found.token_labels.tolist() == [0, 1, 1, 0, 1]  # the empty place is that of EOS
    assert found.token_steps.tolist() == [0, 1, 2, 3, 4]
    assert found.first_error.tolist() == [1]


def test_steps_are_counted_over_all_responses_and_problems_are_prompts(characters: Any) -> None:
    pair = {
        "prompt": "p",
        "chosen": "x",
        "rejected": "y\nz",
        "rejected_steps": ["y", "z"],
        "first_error_step": 2,
    }
    found = marked([ROW, pair, ROW], characters)
    assert found.problem.tolist() == [0, 1, 1, 0]
    assert found.num_problems == 2
    assert found.pairs.tolist() == [[1, 2]]
    assert found.is_assumed.tolist() == [False, True, False, False]
    assert found.first_error.tolist() == [1, NO_ERROR, 1, 1]
    assert found.step_responses.tolist() == [0, 0, 0, 1, 2, 2, 3, 3, 3]
    assert found.step_numbers.tolist() == [0, 1, 2, 0, 0, 1, 0, 1, 2]
    assert found.token_steps.max() == 8


def test_a_step_without_a_token_has_no_value(characters: Any) -> None:
    row = {"prompt": "q", "steps": ["a", "", "b"], "first_error_step": 3}
    found = marked([row], characters)
    means = found.step_means(np.ones(len(found.token_labels)))
    assert means.tolist() == [1, 1, 1]  # the blank step has its line break
    last = {"prompt": "q", "steps": ["a", ""], "first_error_step": 2}
    found = marked([last], characters)
    assert np.isnan(found.step_means(np.ones(len(found.token_labels)))[1])
