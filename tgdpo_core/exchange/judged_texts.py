"""Texts that files of judgements lack: questions, categories, answers; from other files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from tgdpo_core.data.report import RowProblem
from tgdpo_core.errors import DataError, UsageError
from tgdpo_core.exchange.judgements import Judged, id_of
from tgdpo_core.exchange.questions import QuestionFile
from tgdpo_core.exchange.tool_rows import tool_rows

_J = TypeVar("_J", bound=Judged)
Place = tuple[int | str, int]
"""A question's id and the turn, from 1."""


@dataclass(frozen=True)
class JudgedTexts:
    """What was asked and answered, as far as it is known.

    Attributes:
        questions: the benchmark's questions by id.
        answers: by model and place, the text.
    """

    questions: Mapping[int | str, Sequence[str]] = field(default_factory=dict)
    categories: Mapping[int | str, str | None] = field(default_factory=dict)
    answers: Mapping[str, Mapping[Place, str]] = field(default_factory=dict)

    def prompt(self, question: int | str, turn: int | None) -> Any:
        """Return the question up to a turn: text, or messages of the user alone."""
        texts = self.questions.get(question)
        if not texts or len(texts) < (turn or 1):
            return str(question) if turn is None else f"question {question}, turn {turn}"
        if (turn or 1) == 1:
            return texts[0]
        return [{"role": "user", "content": text} for text in texts[:turn]]

    def answer(self, model: str, question: int | str, turn: int | None) -> str | None:
        """Return what a model answered; None: it is not known."""
        return self.answers.get(model, {}).get((question, turn or 1))

    def categorised(self, judged: Sequence[_J]) -> list[_J]:
        """Return judgements with the categories of their questions, where they had none."""
        return [
            each if each.category else replace(each, category=self.categories.get(each.question))
            for each in judged
        ]


def texts_of(questions: QuestionFile | None, answer_files: Iterable[Path]) -> JudgedTexts:
    """Return the texts of a file of questions and of the tools' own files of answers.

    Args:
        questions: None: not given.
        answer_files: ``model_answer/MODEL.jsonl``; a model is called as its file is.

    Raises:
        DataError: a row is no answer of FastChat or Arena-Hard, or answers what another row does.
        UsageError: two files are of one model.
    """
    found = questions.questions if questions else ()
    answers: dict[str, Mapping[Place, str]] = {}
    for path in answer_files:
        if path.stem in answers:
            raise UsageError(
                f"--answers: {path} is the second file of the model {path.stem!r}: a model is "
                "called as its file is. Name one file of each."
            )
        answers[path.stem] = _answers(path)
    return JudgedTexts(
        {question.id: question.turns for question in found},
        {question.id: question.category for question in found},
        answers,
    )


def _answers(path: Path) -> dict[Place, str]:
    found: dict[Place, str] = {}
    for where, row in tool_rows(path):
        if isinstance(row, RowProblem):
            raise DataError(f"{where}: {row}")
        try:
            given = _answers_of(row)
        except (KeyError, TypeError, IndexError, RowProblem) as error:
            raise DataError(
                f"{where}: no answer of FastChat (choices[0].turns) or Arena-Hard v2 (messages): "
                f"{type(error).__name__} {error}."
            ) from error
        for place, text in given.items():
            if found.setdefault(place, text) != text:
                raise DataError(
                    f"{where}: another answer to question {place[0]!r}, turn {place[1]}, which a "
                    "row above has answered. Leave one of the rows in the file."
                )
    return found


def _answers_of(row: Mapping[str, Any]) -> dict[Place, str]:
    """Return the answers of a row: that of Arena-Hard v2, or every turn of the first choice.

    Raises:
        KeyError, TypeError, IndexError, RowProblem: the row has another form.
    """
    if "uid" in row:
        return {(id_of(row, "uid"), 1): _text(row["messages"][-1]["content"], "answer")}
    turns = row["choices"][0]["turns"]
    if not isinstance(turns, list):
        raise TypeError(f"'turns' must be a list, found {turns!r:.60}")
    rows = [turn if isinstance(turn, Mapping) else {"content": turn} for turn in turns]
    number = id_of(row, "question_id")
    return {(number, turn): _text(each, "content") for turn, each in enumerate(rows, 1)}


def _text(row: Mapping[str, Any], name: str) -> str:
    """Return an answer, which may be empty."""
    if not isinstance(text := row[name], str):
        raise TypeError(f"'{name}' must be a text, found {text!r:.60}")
    return text
