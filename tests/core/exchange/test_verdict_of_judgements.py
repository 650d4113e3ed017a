"""Judgements as verdicts: what is resampled as one, grades given twice, answers given twice."""

from typing import Any

import pytest

from tgdpo_core.data.report import DataReport
from tgdpo_core.evaluation.verdict_arrays import measured, scores
from tgdpo_core.evaluation.verdicts import Verdict
from tgdpo_core.exchange.judged_texts import JudgedTexts
from tgdpo_core.exchange.judgements import Compared, Graded, Judgements
from tgdpo_core.exchange.verdict_of_judgements import verdicts_of


def verdict(*judged: Compared | Graded, texts: JudgedTexts | None = None) -> Verdict:
    compared = [each for each in judged if isinstance(each, Compared)]
    graded = [each for each in judged if isinstance(each, Graded)]
    judgements = Judgements(compared, graded, DataReport("j.jsonl"))
    (found,) = verdicts_of(judgements, texts or JudgedTexts(), baseline=None, settings={})
    return found


def grade(score: float, turn: int = 1, judge: str = "gpt-4", model: str = "mine") -> Graded:
    return Graded(81, judge, model, turn, None, score)


def alpaca(mine: str | None, base: str, preference: float, model: str = "mine") -> Compared:
    texts = {name: text for name, text in ((model, mine), ("base", base)) if text is not None}
    return Compared("Go.", "j", model, other="base", either_first=preference, texts=texts)


def test_the_turns_of_a_question_are_one_cluster() -> None:
    found = verdict(grade(7, 1), grade(3, 2), Graded(82, "gpt-4", "mine", 1, None, 5.0))
    assert [each.cluster for each in found.prompts] == ["81", "81", "82"]


def test_the_turns_of_a_compared_question_are_one_cluster() -> None:
    pairs = [Compared(81, "j", "mine", turn, other="base", model_first=1.0) for turn in (1, 2)]
    assert [each.cluster for each in verdict(*pairs).prompts] == ["81", "81"]


def test_a_question_of_one_turn_stands_for_itself() -> None:
    found = verdict(Compared("q", "j", "mine", other="base", model_first=1.0, other_first=1.0))
    assert [each.cluster for each in found.prompts] == [None]


def test_every_grade_of_an_answer_counts() -> None:
    texts = JudgedTexts(answers={"mine": {(81, 1): "Two."}})
    found = verdict(grade(7), grade(1), grade(4, judge="other"), texts=texts)
    (prompt,) = found.prompts
    first, second = prompt.answers["mine"]
    assert (first.scores["gpt-4"].value, second.scores["gpt-4"].value) == (7, 1)
    assert "other" not in second.scores
    assert {first.text, second.text} == {"Two."}
    assert scores(found, "gpt-4", "mine") == pytest.approx([(7 + 1) / 2])
    assert scores(found, "other", "mine") == pytest.approx([4])


def test_an_answer_that_nobody_graded_is_shown_once() -> None:
    texts = JudgedTexts(answers={"base": {(81, 1): "Two."}})
    found = verdict(grade(7), grade(6, turn=2, model="base"), texts=texts)
    assert [each.text for each in found.prompts[0].answers["base"]] == ["Two."]


def test_preferences_stand_beside_the_answers_they_are_about() -> None:
    found = verdict(alpaca("long one", "b", 1.0), alpaca("no", "b", 0.0), alpaca("no", "b", 0.5))
    (prompt,) = found.prompts
    assert [each.text for each in prompt.answers["mine"]] == ["long one", "no"]
    assert [each.text for each in prompt.answers["base"]] == ["b", "b"]
    said = [(each.draw, each.shown_first) for each in prompt.preferences]
    assert [(draw, opinion and opinion.value) for draw, opinion in said] == [
        (0, 1.0),
        (1, 0.0),
        (1, 0.5),
    ]
    assert measured(found, "mine", "num_characters") == pytest.approx([(8 + 2) / 2])


def test_models_with_the_same_answer_of_the_baseline_share_a_draw() -> None:
    found = verdict(alpaca("a", "b", 1.0), alpaca("c", "b", 0.0, model="yours"))
    (prompt,) = found.prompts
    assert {name: len(some) for name, some in prompt.answers.items()} == {
        "base": 1,
        "mine": 1,
        "yours": 1,
    }


def test_draws_of_different_models_are_prompts_of_one_cluster() -> None:
    """No place in a model's answers is left for a text that it did not give."""
    found = verdict(alpaca("a", "b", 1.0), alpaca("c", "d", 0.0, model="yours"))
    assert [sorted(each.answers) for each in found.prompts] == [["base", "mine"], ["base", "yours"]]
    assert [each.cluster for each in found.prompts] == ["Go.", "Go."]
    assert {each.draw for prompt in found.prompts for each in prompt.preferences} == {0}


def test_a_text_that_is_not_known_is_not_taken_from_another_row() -> None:
    found = verdict(alpaca("a", "b", 1.0), alpaca(None, "b", 0.0))
    answers: list[dict[str, Any]] = [
        {name: [each.text for each in some] for name, some in prompt.answers.items()}
        for prompt in found.prompts
    ]
    assert answers == [{"base": ["b"], "mine": ["a"]}, {"base": ["b"]}]
