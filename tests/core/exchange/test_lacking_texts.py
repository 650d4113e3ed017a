"""Texts that belong to no judgement are said, and refused where not one belongs."""

import pytest

from tgdpo_core.errors import DataError
from tgdpo_core.exchange.judged_texts import JudgedTexts
from tgdpo_core.exchange.judgements import Compared, Graded
from tgdpo_core.exchange.lacking_texts import LackingTexts, lacking_sentences, lacking_texts

JUDGED = [Graded(number, "gpt-4", "A", turn) for number in (81, 82) for turn in (1, 2)]
PAIR = Compared(81, "gpt-4", "A", 1, other="B", model_first=1.0)


def test_nothing_is_looked_for_where_nothing_was_given() -> None:
    assert lacking_texts(JUDGED, JudgedTexts()) == LackingTexts([], [], [])
    assert lacking_sentences(LackingTexts()) == []


def test_what_lacks_is_named() -> None:
    texts = JudgedTexts({81: ("One?", "Two?")}, {}, {"A": {(81, 1): "1"}, "C": {(81, 1): "1"}})
    lacking = lacking_texts(JUDGED, texts)
    assert lacking.models == ["C"]
    assert lacking.questions == [(82, 1), (82, 2)]
    assert lacking.answers == [("A", 81, 2), ("A", 82, 1), ("A", 82, 2)]
    models, questions, answers = lacking_sentences(lacking)
    assert "nobody judged C" in models
    assert "2 judged prompts" in questions
    assert "question 82, turn 1" in questions
    assert "3 judged answers" in answers
    assert "A, question 81, turn 2" in answers


def test_a_question_with_too_few_turns_lacks_its_second() -> None:
    lacking = lacking_texts(JUDGED[:2], JudgedTexts({81: ("One?",)}))
    assert lacking.questions == [(81, 2)]


def test_the_other_model_of_a_comparison_is_judged_too() -> None:
    assert lacking_texts([PAIR], JudgedTexts(answers={"B": {(81, 1): "1"}})).models == []


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (JudgedTexts({9: ("One?",)}), r"--prompts.*Ids there: 9; judged: 81, 82.*Name the file"),
        (JudgedTexts({"81": ("One?",)}), r"Ids there: '81'; judged: 81, 82.*A text is no number"),
        (JudgedTexts(answers={"chatA": {(81, 1): "1"}}), "Files: chatA; judged: A"),
        (JudgedTexts(answers={"A": {("81", 1): "1"}}), r"--answers.*'81'.*A text is no number"),
    ],
)
def test_files_of_which_nothing_belongs_are_refused(texts: JudgedTexts, said: str) -> None:
    with pytest.raises(DataError, match=said):
        lacking_texts(JUDGED, texts)
