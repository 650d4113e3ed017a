"""What cut answers score, and what is said of how answers ended."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tgdpo_core import Generation, Judge, Unjudged
from tgdpo_core.evaluation.endings import Unfinished
from tgdpo_core.evaluation.judging import asked_anew, evaluate, judged
from tgdpo_core.generation.answers import Answer, AnsweredPrompt


class Length(Judge):
    """Characters of the answer; notes what it was shown."""

    def __init__(self) -> None:
        self.seen: list[Generation] = []

    def score(self, batch: Sequence[Generation]) -> list[float]:
        self.seen += batch
        return [float(len(item.response)) for item in batch]


def sampled(text: str, *, finished: bool, seed: int = 1) -> Answer:
    return Answer(text, finished, len(text) + finished, seed)


GREEDY = Answer("gggg", finished=True, num_tokens=5)
PROMPTS = [
    AnsweredPrompt(
        "p", (GREEDY, sampled("aa", finished=True), sampled("bbbbbb", finished=False)), {"c": 1}
    ),
    AnsweredPrompt("q", (GREEDY, sampled("ccc", finished=False), sampled("d", finished=False))),
]


@pytest.mark.parametrize(
    ("rule", "expected", "left_out"),
    [("score", [4.0, 2.0], 0), ("zero", [1.0, 0.0], 0), ("skip", [2.0, np.nan], 1)],
)
def test_cut_answers_score_what_the_rule_says(
    rule: Unfinished, expected: list[float], left_out: int
) -> None:
    found = judged(asked_anew(("length", Length())), PROMPTS, rule).scores
    np.testing.assert_equal(found["sampled"], expected)
    np.testing.assert_equal(found["greedy"], [4.0, 4.0])
    score = evaluate("m", PROMPTS, asked_anew(("length", Length())), unfinished=rule).scores[
        "sampled"
    ]
    assert score.mean == np.nanmean(expected)
    assert score.num_left_out == left_out


@pytest.mark.parametrize(("rule", "number"), [("score", 6), ("zero", 3), ("skip", 3)])
def test_a_judge_is_not_asked_about_what_the_rule_decides(rule: Unfinished, number: int) -> None:
    judge = Length()
    judged(asked_anew(("length", judge)), PROMPTS, rule)
    assert len(judge.seen) == number


def test_a_judge_sees_how_each_answer_ended() -> None:
    judge = Length()
    judged(asked_anew(("length", judge)), PROMPTS)
    shown = {item.response: (item.finished, item.num_tokens, item.columns) for item in judge.seen}
    assert shown["aa"] == (True, 3, {"c": 1})
    assert shown["bbbbbb"] == (False, 6, {"c": 1})


def test_a_summary_has_the_share_of_random_answers_that_finished_and_their_length() -> None:
    summary: dict[str, Any] = evaluate("m", PROMPTS, asked_anew(("length", Length()))).summary()
    assert summary["finished"] == 0.25
    assert summary["tokens"] == (3 + 6 + 3 + 1) / 4
    assert (summary["num_unfinished"], summary["unfinished"]) == (3, "score")


def test_without_random_answers_the_greedy_ones_are_described() -> None:
    greedy = [AnsweredPrompt("p", (GREEDY,))]
    evaluation = evaluate("m", greedy, asked_anew(("length", Length())))
    assert set(evaluation.scores) == {"greedy"}
    assert evaluation.summary()["finished"] == 1


def test_no_score_at_all_is_no_zero() -> None:
    only_cut = [AnsweredPrompt("p", (sampled("x", finished=False),))]
    score = evaluate("m", only_cut, asked_anew(("length", Length())), unfinished="skip").scores[
        "sampled"
    ]
    assert np.isnan(score.mean)
    assert score.num_left_out == 1


class Picky(Judge):
    """Has no score for answers of b."""

    def score(self, batch: Sequence[Generation]) -> list[float | Unjudged]:
        return [Unjudged("b") if "b" in item.response else 1.0 for item in batch]


def test_an_answer_without_a_score_is_counted_and_no_zero() -> None:
    found = evaluate("m", PROMPTS, asked_anew(("picky", Picky())))
    assert (found.scores["sampled"].mean, found.scores["sampled"].num_left_out) == (1.0, 0)
    assert found.summary()["unjudged"] == {"b": 1}


def test_a_prompt_without_any_score_is_left_out() -> None:
    only = [replace(item, answers=item.answers[2:]) for item in PROMPTS]
    found = evaluate("m", only, asked_anew(("picky", Picky())))
    assert (found.scores["sampled"].mean, found.scores["sampled"].num_left_out) == (1.0, 1)
