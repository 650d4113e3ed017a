"""Questions of AlpacaEval, MT-Bench and Arena-Hard, read from their own files."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tgdpo_core.data.report import DataReport, RowProblem
from tgdpo_core.errors import DataError
from tgdpo_core.exchange.tool_rows import tool_rows

Benchmark = Literal["alpaca-eval", "mt-bench", "arena-hard"]
BENCHMARKS: tuple[Benchmark, ...] = ("alpaca-eval", "mt-bench", "arena-hard")
Form = Literal["alpaca-eval", "mt-bench", "arena-hard-v0.1", "arena-hard-v2.0"]


@dataclass(frozen=True)
class Question:
    """What a benchmark asks.

    Attributes:
        id: as the benchmark's file has it; of AlpacaEval the instruction itself.
        turns: what the user says, one text a turn.
        category: decides the temperature of MT-Bench and the baseline of Arena-Hard v2; None: the
            benchmark has none.
        row: the whole row.
    """

    id: int | str
    turns: tuple[str, ...]
    category: str | None
    row: Mapping[str, Any]


@dataclass(frozen=True)
class QuestionFile:
    """The questions of a file.

    Attributes:
        form: which benchmark's, and which version's.
        questions: in the order of the file.
        num_repeated: questions whose id was there before; only AlpacaEval allows any.
    """

    form: Form
    questions: tuple[Question, ...]
    num_repeated: int = 0


def read_questions(path: Path, benchmark: Benchmark, limit: int | None = None) -> QuestionFile:
    """Return the questions of a file, the first ``limit`` of them.

    Raises:
        DataError: rows that are not of the benchmark's form, all of them named; two questions with
            one id; none at all.
    """
    rows = list(tool_rows(path))
    form = _form(benchmark, [row for _, row in rows])
    report = DataReport(str(path), num_rows=len(rows))
    found: list[Question] = []
    for where, row in rows:
        try:
            if isinstance(row, RowProblem):
                raise row
            found.append(_PARSERS[form](row))
        except RowProblem as problem:
            report.add_problem(where, problem)
    if report.problems:
        raise DataError(
            f"{path}: {len(report.problems)} of {len(rows)} rows are no questions of {benchmark}:\n"
            f"{report.listed_problems()}"
        )
    if not found:
        raise DataError(f"{path}: no questions.")
    return QuestionFile(form, tuple(found[:limit]), _repeated(path, form, found[:limit]))


def _repeated(path: Path, form: Form, questions: Iterable[Question]) -> int:
    ids = [question.id for question in questions]
    num_repeated = len(ids) - len(set(ids))
    if num_repeated and form != "alpaca-eval":
        twice = next(each for each in ids if ids.count(each) > 1)
        raise DataError(f"{path}: the id {twice!r} stands twice; {form} tells questions by it.")
    return num_repeated


def _form(benchmark: Benchmark, rows: Iterable[Any]) -> Form:
    """Return the form of a file; that of Arena-Hard is seen from the name of the id."""
    if benchmark != "arena-hard":
        return benchmark
    first = next((row for row in rows if isinstance(row, Mapping)), {})
    return "arena-hard-v2.0" if "uid" in first else "arena-hard-v0.1"


def _alpaca(row: Mapping[str, Any]) -> Question:
    if row.get("input"):
        raise RowProblem(
            "input",
            "'input' beside 'instruction': AlpacaEval judges the instruction alone; join them",
        )
    text = row.get("instruction", row.get("prompt"))
    return Question(_text(text, "instruction"), (_text(text, "instruction"),), None, row)


def _mt_bench(row: Mapping[str, Any]) -> Question:
    turns = row.get("turns")
    if not isinstance(turns, list) or not turns:
        raise RowProblem("turns", f"'turns' must be a list of texts, found {turns!r:.60}")
    texts = tuple(_text(turn, "turns") for turn in turns)
    return Question(_id(row, "question_id"), texts, _text(row.get("category"), "category"), row)


def _arena_v01(row: Mapping[str, Any]) -> Question:
    turns = row.get("turns")
    if not isinstance(turns, list) or not turns or not all(isinstance(t, Mapping) for t in turns):
        raise RowProblem("turns", f"'turns' must be a list of {{content}}, found {turns!r:.60}")
    texts = tuple(_text(turn.get("content"), "turns.content") for turn in turns)
    category = row.get("category")
    named = _text(category, "category") if category else None
    return Question(_id(row, "question_id"), texts, named, row)


def _arena_v2(row: Mapping[str, Any]) -> Question:
    category = _text(row.get("category"), "category")
    return Question(_id(row, "uid"), (_text(row.get("prompt"), "prompt"),), category, row)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise RowProblem(name, f"'{name}' must be a text, found {value!r:.60}")
    return value


def _id(row: Mapping[str, Any], name: str) -> int | str:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise RowProblem(name, f"'{name}' must be a number or a text, found {value!r:.60}")
    return value


_PARSERS: Mapping[Form, Callable[[Mapping[str, Any]], Question]] = {
    "alpaca-eval": _alpaca,
    "mt-bench": _mt_bench,
    "arena-hard-v0.1": _arena_v01,
    "arena-hard-v2.0": _arena_v2,
}
