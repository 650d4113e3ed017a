"""A folder of exported answers: the benchmark's own files, and how they were made."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tgdpo_core.errors import UsageError
from tgdpo_core.exchange.folder_names import LONGEST_NAME
from tgdpo_core.exchange.questions import QuestionFile
from tgdpo_core.exchange.written_answers import answer_file, question_file
from tgdpo_core.generation.answers import AnsweredPrompt, write_answers
from tgdpo_core.store.folder import write_whole

_OURS = PurePosixPath("tgdpo")


@dataclass(frozen=True)
class ExportFolder:
    """Where the files of a benchmark are written.

    Attributes:
        path: of the folder, laid out as the benchmark's own.
        questions: that are answered.
    """

    path: Path
    questions: QuestionFile

    def require_room(self, models: Iterable[str], *, overwrite: bool) -> None:
        """Refuse, before anything is generated, what could not be written.

        Raises:
            UsageError: the name of a model is too long for a file; answers of it are there already,
                or those to other questions.
        """
        models = list(models)
        for model in models:
            if (size := len(model.encode("utf-8", "surrogateescape"))) > LONGEST_NAME:
                raise UsageError(
                    f"--name {model[:40]!r}...: {size} bytes, at most {LONGEST_NAME}: files are "
                    "called by it. Give the model a shorter --name."
                )
        there = [self._answers(model) for model in models if self._answers(model).exists()]
        if there and not overwrite:
            raise UsageError(
                f"{there[0]} is there already. Name another --output-dir or --name, or replace it "
                "with --overwrite."
            )
        path = self._questions()
        if path and path.exists() and path.read_text(encoding="utf-8") != self._question_lines():
            raise UsageError(
                f"{path} has other questions than those asked for: the answers beside it are to "
                "them. Name another --output-dir."
            )

    def write(
        self,
        model: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        answered: Iterable[AnsweredPrompt],
        record: Mapping[str, Any],
        further: Mapping[str, str],
    ) -> Path:
        """Write the answers of one model; return their file. It is whole or not there.

        Args:
            model: its name.
            rows: of the benchmark's file of answers.
            answered: the same answers as this project keeps them: RUN of another export.
            record: JSON that says how they were made.
            further: other files by their path below the folder.
        """
        path = self._questions()
        if path and not path.exists():
            _write(path, self._question_lines())
        for name, text in further.items():
            _write(self.path / name, text)
        ours = self.path / _OURS
        ours.mkdir(parents=True, exist_ok=True)
        write_answers(ours / f"{model}.answers.jsonl", answered)
        _write(ours / f"{model}.json", json.dumps(record, indent=1, default=str) + "\n")
        file = self._answers(model)
        is_array = file.suffix == ".json"
        _write(file, json.dumps(rows, indent=2, ensure_ascii=False) if is_array else _lines(rows))
        return file

    def _answers(self, model: str) -> Path:
        return self.path / answer_file(self.questions.form, model)

    def _questions(self) -> Path | None:
        name = question_file(self.questions.form)
        return self.path / name if name else None

    def _question_lines(self) -> str:
        return _lines([question.row for question in self.questions.questions])


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Lone surrogates, which a byte-level tokenizer can give, become JSON's escapes.
    write_whole(path, text.encode("utf-8", "backslashreplace").decode())
