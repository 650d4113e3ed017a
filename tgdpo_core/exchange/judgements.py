"""Judgements of other tools, in one form: comparisons of two models, and grades of one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tgdpo_core.data.report import DataReport, RowProblem
from tgdpo_core.errors import DataError
from tgdpo_core.exchange.tool_rows import tool_rows


@dataclass(frozen=True)
class Judged:
    """Who judged what: common to comparisons and grades.

    Attributes:
        question: id of the question; of AlpacaEval the instruction.
        judge: who judged.
        model: whose answer was judged.
        turn: of a conversation; None: there is one.
        category: of the question; None: not known.
    """

    question: int | str
    judge: str
    model: str
    turn: int | None = None
    category: str | None = None


@dataclass(frozen=True)
class Compared(Judged):
    """A question on which two models were compared, once or in both orders.

    Attributes:
        other: the model it was compared with.
        model_first: how surely the model's answer is the better one, 0 to 1, where it was shown
            first; None: not judged in this order, or without a verdict.
        other_first: the same where the other's answer was shown first.
        either_first: the same where the file does not say which was first.
        weights: how often the tool counts each verdict, by the name of its field; 1 where absent.
        texts: the answers, by model, where the file has them.
        controlled: ``either_first`` as AlpacaEval corrected it for length; None: not said.
        version: of the benchmark, where its files have several forms.
    """

    other: str = ""
    model_first: float | None = None
    other_first: float | None = None
    either_first: float | None = None
    weights: Mapping[str, int] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    controlled: float | None = None
    version: str = ""

    @property
    def verdicts(self) -> list[tuple[float, int]]:
        """Each verdict that there is, and how often the tool counts it."""
        found = {name: getattr(self, name) for name in ORDERS}
        return [(v, self.weights.get(name, 1)) for name, v in found.items() if v is not None]


ORDERS = ("model_first", "other_first", "either_first")


@dataclass(frozen=True)
class Graded(Judged):
    """An answer that got a grade of its own.

    Attributes:
        score: 1 to 10 for MT-Bench.
    """

    score: float = 0.0


@dataclass(frozen=True)
class Judgements:
    """What the files of a tool say.

    Attributes:
        compared: comparisons, in the order of the files.
        graded: grades.
        report: rows read, and those that could not be, counted by what is wrong.
    """

    compared: Sequence[Compared]
    graded: Sequence[Graded]
    report: DataReport


def models_of(judged: Judged) -> tuple[str, ...]:
    """Return whose answers were judged."""
    return (judged.model, judged.other) if isinstance(judged, Compared) else (judged.model,)


Parsed = Compared | Graded
Parser = Callable[[Mapping[str, Any], Callable[[str], None]], Parsed]
"""Takes a row, and a function that notes a part of it that has no verdict."""


def read_judgements(paths: Iterable[Path], parse: Parser) -> Judgements:
    """Return what files of judgements say; rows that say nothing are counted and named.

    Raises:
        DataError: a file cannot be read, or no row of it is of the tool's form.
    """
    paths = list(paths)
    report = DataReport(", ".join(str(path) for path in paths))
    found: list[Parsed] = []
    for path in paths:
        before = len(found)
        for where, row in tool_rows(path):
            report.num_rows += 1
            try:
                if isinstance(row, RowProblem):
                    raise row
                found.append(_noted(parse(row, partial(report.note, where=where)), report, where))
            except RowProblem as problem:
                report.add_problem(where, problem)
        if len(found) == before:
            raise DataError(f"{path}: not one judgement could be read.\n{report.listed_problems()}")
    report.num_pairs = len(found)
    return Judgements(
        [each for each in found if isinstance(each, Compared)],
        [each for each in found if isinstance(each, Graded)],
        report,
    )


def _noted(parsed: Parsed, report: DataReport, where: str) -> Parsed:
    """Return a judgement; one of a model and itself is counted: no table of two models has it."""
    if isinstance(parsed, Compared) and parsed.model == parsed.other:
        report.note("a model compared with itself", where)
    return parsed


def text_of(row: Mapping[str, Any], name: str) -> str:
    """Return a field that must be a text.

    Raises:
        RowProblem: it is not.
    """
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise RowProblem(f"no {name}", f"'{name}' must be a text, found {value!r:.60}")
    return value


def number_of(row: Mapping[str, Any], name: str) -> float:
    """Return a field that must be a number, also one written as text.

    Raises:
        RowProblem: it is not, or is no finite one.
    """
    value = row.get(name)
    try:
        number = float(value) if isinstance(value, int | float | str) else float("nan")
    except (ValueError, OverflowError):  # no number; an integer that no float can hold
        number = float("nan")
    if isinstance(value, bool) or number != number or abs(number) == float("inf"):
        raise RowProblem(f"no {name}", f"'{name}' must be a number, found {value!r:.60}")
    return number


def id_of(row: Mapping[str, Any], name: str) -> int | str:
    """Return the id of a question.

    Raises:
        RowProblem: there is none.
    """
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise RowProblem(f"no {name}", f"'{name}' must be a number or a text, found {value!r:.60}")
    return value
