"""Files of answers: their two forms, and rows that are none."""

from pathlib import Path
from typing import Any

import pytest

from tests.core.exchange.questions_of_tests import lines
from tgdpo_core.errors import DataError, UsageError
from tgdpo_core.exchange.judged_texts import texts_of


def fastchat(turns: Any, number: Any = 81) -> dict[str, Any]:
    return {"question_id": number, "choices": [{"index": 0, "turns": turns}]}


def arena(answer: Any) -> dict[str, Any]:
    return {"uid": "u", "messages": [{"role": "assistant", "content": {"answer": answer}}]}


@pytest.mark.parametrize(
    ("row", "answers"),
    [
        (fastchat(["Two.", ""]), {(81, 1): "Two.", (81, 2): ""}),
        (fastchat([{"content": "Two.", "token_len": 2}]), {(81, 1): "Two."}),
        (arena("Two."), {("u", 1): "Two."}),
    ],
)
def test_answers_of_both_forms(row: Any, answers: Any, tmp_path: Path) -> None:
    assert texts_of(None, [lines(tmp_path / "mine.jsonl", [row])]).answers == {"mine": answers}


@pytest.mark.parametrize(
    "row",
    [
        fastchat("Two."),
        fastchat({"a": 1}),
        fastchat([["Two."]]),
        fastchat([{"content": None}]),
        fastchat(["Two."], number=[81]),
        fastchat(["Two."], number=81.0),
        arena({"a": 1}),
        {"uid": "u", "messages": "Two."},
        {"uid": "u", "messages": []},
        {"uid": ["u"], "messages": arena("Two.")["messages"]},
        {"question_id": 81, "choices": []},
    ],
)
def test_a_row_of_another_form_is_named(row: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mine.jsonl:1: no answer"):
        texts_of(None, [lines(tmp_path / "mine.jsonl", [row])])


def test_two_answers_to_one_question_are_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "mine.jsonl", [fastchat(["Two."]), fastchat(["Three."])])
    with pytest.raises(DataError, match=r"mine.jsonl:2: another answer to question 81, turn 1"):
        texts_of(None, [path])


def test_two_files_of_one_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    paths = [lines(folder / "mine.jsonl", [arena("a")]) for folder in (tmp_path, tmp_path / "more")]
    with pytest.raises(UsageError, match="second file of the model 'mine'"):
        texts_of(None, paths)
