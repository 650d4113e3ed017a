"""Texts that files of judgements lack: questions, categories, answers; from other files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from tgdpo_core.data.report import RowProblem
from tgdpo_core.errors import DataError
from tgdpo_core.exchange.judgements import Judged
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
        DataError: a row is no answer of FastChat or Arena-Hard.
    """
    found = questions.questions if questions else ()
    return JudgedTexts(
        {question.id: question.turns for question in found},
        {question.id: question.category for question in found},
        {path.stem: _answers(path) for path in answer_files},
    )


def _answers(path: Path) -> dict[Place, str]:
    found: dict[Place, str] = {}
    for where, row in tool_rows(path):
        if isinstance(row, RowProblem):
            raise DataError(f"{where}: {row}")
        try:
            if "uid" in row:
                found[row["uid"], 1] = row["messages"][-1]["content"]["answer"]
                continue
            for turn, text in enumerate(row["choices"][0]["turns"], 1):
                found[row["question_id"], turn] = text if isinstance(text, str) else text["content"]
        except (KeyError, TypeError, IndexError) as error:
            raise DataError(
                f"{where}: no answer of FastChat (choices[0].turns) or Arena-Hard v2 (messages): "
                f"{type(error).__name__} {error}."
            ) from error
    return found
