"""Which answers can be compared, and what the others are counted as."""

from collections import Counter

import pytest

from tgdpo_core.pairing.candidates import (
    DUPLICATE,
    EMPTY,
    NOT_FINITE,
    UNFINISHED,
    Candidate,
    comparable,
    with_scores,
)
from tgdpo_core.plugin_api.judges import Unjudged


def test_empty_cut_and_equal_answers_are_counted_by_name() -> None:
    answers = [
        Candidate("good", "m"),
        Candidate(" good\n", "m", seed=1),
        Candidate("", "m"),
        Candidate(" \n", "m"),
        Candidate("cut of", "m", finished=False),
        Candidate("other", "m"),
    ]
    kept, left_out = comparable(answers, only_finished=True)
    assert kept == [answers[0], answers[5]]
    assert left_out == Counter({EMPTY: 2, DUPLICATE: 1, UNFINISHED: 1})


def test_cut_answers_are_kept_where_asked_for() -> None:
    answers = [Candidate("cut of", "m", finished=False)]
    assert comparable(answers, only_finished=False) == (answers, Counter())


def test_a_finished_answer_is_no_duplicate_of_a_cut_one_that_was_left_out() -> None:
    answers = [Candidate("same", "m", finished=False), Candidate("same", "m")]
    kept, left_out = comparable(answers, only_finished=True)
    assert kept == answers[1:]
    assert left_out == Counter({UNFINISHED: 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_not_finite_is_no_score(value: float) -> None:
    assert with_scores([Candidate("a", "m")], [value]) == ([], Counter({NOT_FINITE: 1}))


def test_what_the_judge_leaves_open_is_counted_with_its_reason_and_is_no_zero() -> None:
    answers = [Candidate("a", "m"), Candidate("b", "m"), Candidate("c", "m")]
    judged, left_out = with_scores(answers, [0.5, Unjudged("no verdict"), Unjudged("too long")])
    assert [(answer.text, answer.score) for answer in judged] == [("a", 0.5)]
    assert left_out == Counter({"unjudged: no verdict": 1, "unjudged: too long": 1})
