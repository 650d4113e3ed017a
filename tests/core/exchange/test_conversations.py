"""Turns follow the model's own answers; temperatures by category; answers found in a file."""

from pathlib import Path

import pytest

from tests.core.exchange.questions_of_tests import ALPACA, MT_BENCH, Echo, lines
from tgdpo_core.errors import DataError
from tgdpo_core.exchange.conversations import AnswersOfFile, hold
from tgdpo_core.exchange.questions import Question, read_questions
from tgdpo_core.exchange.written_answers import mt_bench_temperature
from tgdpo_core.generation.answers import Answer, AnsweredPrompt, read_answers, write_answers


@pytest.fixture
def questions(tmp_path: Path) -> tuple[Question, ...]:
    return read_questions(lines(tmp_path / "q.jsonl", MT_BENCH), "mt-bench").questions


def test_the_second_question_follows_the_own_first_answer(
    questions: tuple[Question, ...],
) -> None:
    talk = hold(questions, Echo(), mt_bench_temperature)[1]
    assert talk.prompts[0][1] == [
        {"role": "user", "content": "What is 1 + 1?"},
        {"role": "assistant", "content": "0.0 #0: What is 1 + 1?"},
        {"role": "user", "content": "And twice that?"},
    ]
    assert [answer.text for answer in talk.choices[0]] == [
        " 0.0 #0: What is 1 + 1? ",
        " 0.0 #0: And twice that? ",
    ]


def test_temperatures_are_those_of_fastchat_by_category(questions: tuple[Question, ...]) -> None:
    echo = Echo()
    hold(questions, echo, mt_bench_temperature)
    asked = {text: temperature for temperature, texts in echo.calls for text in texts}
    assert asked["Write a line."] == asked["Now shorter."] == 0.7
    assert asked["What is 1 + 1?"] == 0.0
    assert asked["What is heat?"] == 0.1
    assert asked["When do tulips flower?"] == 0.7  # an unknown category
    assert len(echo.calls) == 6  # once a turn and temperature


def test_every_choice_goes_on_from_its_own_answers(questions: tuple[Question, ...]) -> None:
    talks = hold(questions, Echo(), lambda _: 1.0, num_choices=3)
    for talk in talks:
        assert [prompts[1][1]["content"].split(":")[0] for prompts in talk.prompts] == [
            "1.0 #0",
            "1.0 #1",
            "1.0 #2",
        ]
        assert len({answers[0].text for answers in talk.choices}) == 3


def test_a_system_message_goes_in_front(questions: tuple[Question, ...]) -> None:
    talk = hold(questions[:1], Echo(), lambda _: 0.0, system="Be brief.")[0]
    assert talk.prompts[0][0][0] == {"role": "system", "content": "Be brief."}
    assert talk.prompts[0][1][0] == {"role": "system", "content": "Be brief."}


def test_answers_of_a_file_are_the_same_conversation(
    questions: tuple[Question, ...], tmp_path: Path
) -> None:
    talks = hold(questions, Echo(), mt_bench_temperature, num_choices=2)
    kept = [item for talk in talks for item in talk.answered_prompts()]
    write_answers(tmp_path / "answers.jsonl", kept)
    found = AnswersOfFile("answers.jsonl", list(read_answers(tmp_path / "answers.jsonl")))
    again = hold(questions, found, lambda _: 0.0, num_choices=2)
    assert [talk.choices for talk in again] == [talk.choices for talk in talks]


def test_a_prompt_of_text_is_a_message_of_the_user(tmp_path: Path) -> None:
    questions = read_questions(lines(tmp_path / "q.jsonl", ALPACA), "alpaca-eval").questions
    answered = [AnsweredPrompt(q.turns[0], (Answer(q.turns[0], True, 1),)) for q in questions]
    talks = hold(questions, AnswersOfFile("a", answered), lambda _: 0.0)
    assert [talk.answers[0].text for talk in talks] == ["Name a colour.", "Name a tree."]


def test_what_a_file_does_not_answer_is_named(questions: tuple[Question, ...]) -> None:
    answered = [AnsweredPrompt(q.turns[0], (Answer("yes", True, 1),)) for q in questions]
    with pytest.raises(DataError, match=r"4 of 4|1 of 1|prompts of turn 2") as error:
        hold(questions, AnswersOfFile("a.jsonl", answered), lambda _: 0.0)
    assert "a.jsonl" in str(error.value)
    assert "Now shorter." in str(error.value)
    with pytest.raises(DataError, match="fewer than 2"):
        hold(questions, AnswersOfFile("a.jsonl", answered), lambda _: 0.0, num_choices=2)
