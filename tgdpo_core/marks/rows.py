"""The layouts of step and span marks in use, turned into marked rows.

    layout         fields                                      counted from   behind the first error
    first error    steps | rejected_steps, first_error_step     1              not judged
    BIG-Bench      steps, mistake_index                         0              not judged
    ProcessBench   problem, steps, label (-1: none)             0              not judged
    PRMBench       modified_process, error_steps                1              judged
    TRL            completions, labels                          (a list)       judged
    spans          response | rejected, error_spans             characters     judged

A null mark, and -1 of ``first_error_step``, say that there is no error; in ProcessBench -1 alone
does. Marks of two layouts in one row must say the same. Where a row has ``chosen`` (or
``original_process``) beside its marked response, that is taken as free of errors.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tgdpo_core.data.report import DataReport, RowProblem
from tgdpo_core.marks.responses import MarkedResponse, MarkedRow, contradict, joined, located

Row = Mapping[str, Any]

_PROMPTS = ("prompt", "problem", "modified_question", "question", "input")
_ALLOWED = (
    "first_error_step, mistake_index, steps with label (ProcessBench), modified_process with "
    "error_steps (PRMBench), completions with labels (TRL), or error_spans"
)


def parse_marked_rows(
    rows: Sequence[tuple[str, Row | RowProblem]], report: DataReport, *, separator: str = "\n"
) -> list[MarkedRow]:
    """Return the marked rows; those that cannot be read go into the report with their place.

    Args:
        rows: ``where`` and row.
        report: takes problems and counts.
        separator: stands between steps that a row has as a list.
    """
    parsed: list[MarkedRow] = []
    report.num_rows = len(rows)
    for where, row in rows:
        try:
            parsed.append(parse_marked_row(row, where=where, separator=separator))
        except RowProblem as problem:
            report.add_problem(where, problem)
    report.num_pairs = len(parsed)
    return parsed


def parse_marked_row(row: Row | RowProblem, *, where: str, separator: str = "\n") -> MarkedRow:
    """Return a row of any of the layouts.

    Raises:
        RowProblem: another layout, or a field that does not fit its layout.
    """
    if isinstance(row, RowProblem):
        raise row
    if not isinstance(row, Mapping):
        raise RowProblem("not_a_row", f"a row must be a mapping, found {type(row).__name__}")
    fitting = [layout for layout in _LAYOUTS if layout.fields <= row.keys()]
    if not fitting:
        fields = ", ".join(map(str, row)) or "none"
        raise RowProblem("no_marks", f"no marks of errors. Expected {_ALLOWED}; found: {fields}")
    for other in fitting[1:]:
        _require_agreement(row, fitting[0], other, separator)
    responses = fitting[0].parse(row, separator)
    if not all(response.text.strip() for response in responses):
        raise RowProblem("empty", "a response is empty")
    prompt = _prompt(row)
    is_whole = "response" in row or "rejected" in row
    gap = "" if is_whole or prompt[-1:].isspace() else "\n"
    return MarkedRow(prompt, responses, where, gap)


def _prompt(row: Row) -> str:
    name = next((name for name in _PROMPTS if name in row), None)
    if name is None:
        raise RowProblem("missing_field", f"no prompt: expected one of {', '.join(_PROMPTS)}")
    return _text(row, name)


# -- the layouts ---------------------------------------------------------------------------------

Responses = tuple[MarkedResponse, ...]


def _first_error(row: Row, separator: str) -> Responses:
    name = "rejected_steps" if "rejected_steps" in row else "steps"
    steps = _steps(row, name)
    index = _index(row, "first_error_step", len(steps), first=1, none=(None, -1))
    text = "rejected" if name == "rejected_steps" and "rejected" in row else "response"
    marked = _with_first_error(row, steps, index, text, separator)
    return (*_assumed(row, "chosen", separator), marked)


def _big_bench(row: Row, separator: str) -> Responses:
    steps = _steps(row, "steps")
    index = _index(row, "mistake_index", len(steps), first=0, none=(None,))
    return (_with_first_error(row, steps, index, "response", separator),)


def _process_bench(row: Row, separator: str) -> Responses:
    steps = _steps(row, "steps")
    index = _index(row, "label", len(steps), first=0, none=(-1,))
    return (_with_first_error(row, steps, index, "response", separator),)


def _prm_bench(row: Row, separator: str) -> Responses:
    steps = _steps(row, "modified_process")
    wrong = _numbers(row, "error_steps", len(steps))
    text, ranges = joined(steps, separator)
    marked = MarkedResponse(text, ranges, [i + 1 in wrong for i in range(len(steps))])
    questions = [row[name] for name in ("original_question", "modified_question") if name in row]
    if "original_process" not in row or len(set(questions)) > 1:
        return (marked,)  # to another question the original is no alternative
    text, ranges = joined(_steps(row, "original_process"), separator)
    if text == marked.text:
        return (marked,)
    original = MarkedResponse(text, ranges, [False] * len(ranges), is_assumed=True)
    return original, marked


def _trl(row: Row, separator: str) -> Responses:
    steps = _steps(row, "completions")
    labels = row["labels"]
    if not isinstance(labels, list) or len(labels) != len(steps):
        raise RowProblem("bad_mark", f"'labels' must be a list of {len(steps)}, one per completion")
    if any(label not in (0, 1) for label in labels):  # False and True are 0 and 1
        raise RowProblem("bad_mark", f"'labels' must be true or false, found {labels}")
    text, ranges = joined(steps, separator)
    return (MarkedResponse(text, ranges, [not label for label in labels]),)


def _spans(row: Row, separator: str) -> Responses:
    name = "response" if "response" in row else "rejected"
    marked = _with_spans(row, name, "error_spans")
    if name == "rejected" and "chosen_error_spans" in row:
        return _with_spans(row, "chosen", "chosen_error_spans"), marked
    chosen = _assumed(row, "chosen", separator) if name == "rejected" else ()
    # Beside marked characters, characters: a step of the other response would be of another size.
    return (*(MarkedResponse(c.text, errors=(), is_assumed=True) for c in chosen), marked)


class _Layout(NamedTuple):
    """A layout: the field with its marks, the fields beside it, and what reads a row of it."""

    mark: str
    beside: tuple[str, ...]
    parse: Callable[[Row, str], Responses]

    @property
    def fields(self) -> set[str]:
        """What a row of the layout has."""
        return {self.mark, *self.beside}


_LAYOUTS = (
    _Layout("error_steps", ("modified_process",), _prm_bench),
    _Layout("first_error_step", (), _first_error),
    _Layout("mistake_index", ("steps",), _big_bench),
    _Layout("labels", ("completions",), _trl),
    _Layout("error_spans", (), _spans),
    _Layout("label", ("steps",), _process_bench),
)


def _require_agreement(row: Row, first: _Layout, other: _Layout, separator: str) -> None:
    """Refuse a row whose marks in two layouts say different things: which one is true?

    A bare ``label`` is not looked at: rows of any layout have one for other purposes.
    """
    if other.mark == "label":
        return
    one, two = (layout.parse(row, separator)[-1] for layout in (first, other))
    if contradict(one, two):
        raise RowProblem(
            "two_marks",
            f"'{first.mark}' ({row[first.mark]!r}) and '{other.mark}' ({row[other.mark]!r}) mark "
            "different errors: keep the one that is true",
        )


def _with_first_error(
    row: Row, steps: list[str], index: int | None, name: str, separator: str
) -> MarkedResponse:
    """Return the response in which nothing behind the first error is judged.

    Its text is the field ``name``, where the row has it; the steps must then stand in it.
    """
    text, ranges = joined(steps, separator)
    if name in row and _text(row, name) != text:
        text = _text(row, name)
        found = located(text, steps)
        if found is None:
            raise RowProblem("steps_not_found", f"the steps do not stand in '{name}' in this order")
        ranges = found
    if index is None:
        return MarkedResponse(text, ranges, [False] * len(steps))
    is_wrong = [False] * index + [True] + [None] * (len(steps) - index - 1)
    return MarkedResponse(text, ranges, is_wrong)


def _with_spans(row: Row, name: str, field: str) -> MarkedResponse:
    if name not in row:
        raise RowProblem("missing_field", f"'{field}' marks a response, and there is no '{name}'")
    text = _text(row, name)
    spans = [] if row[field] is None else row[field]
    if not isinstance(spans, list) or not all(_is_span(span, len(text)) for span in spans):
        raise RowProblem(
            "bad_mark",
            f"'{field}' must be a list of [start, end] within the {len(text)} characters of "
            f"'{name}', found {spans}",
        )
    return MarkedResponse(text, errors=[(start, end) for start, end in spans])


def _assumed(row: Row, name: str, separator: str) -> Responses:
    text = _text(row, name) if name in row else ""
    if not text.strip():
        return ()  # as in rows for which nobody wrote a preferred response
    steps = [step for step in text.split(separator) if step.strip()]
    ranges = located(text, steps) or [(0, len(text))]
    return (MarkedResponse(text, ranges, [False] * len(ranges), is_assumed=True),)


# -- checks --------------------------------------------------------------------------------------


def _text(row: Row, name: str) -> str:
    value = row[name]
    if not isinstance(value, str):
        raise RowProblem("not_text", f"'{name}' must be text, found {_kind(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RowProblem(
            "not_text", f"'{name}' holds the lone surrogate {value[error.start]!a}"
        ) from error
    return value


def _steps(row: Row, name: str) -> list[str]:
    steps = row.get(name)
    if not isinstance(steps, list) or not steps:
        raise RowProblem("bad_steps", f"'{name}' must be a list of texts, found {_kind(steps)}")
    for i, step in enumerate(steps):
        if not isinstance(step, str):
            raise RowProblem("bad_steps", f"'{name}[{i}]' must be text, found {_kind(step)}")
    return steps


def _index(
    row: Row, name: str, num_steps: int, *, first: int, none: Sequence[int | None]
) -> int | None:
    """Return the marked step, counted from 0; None for a mark that says that there is no error.

    Args:
        row: with the mark.
        name: of its field.
        num_steps: of the response.
        first: the number of the first step.
        none: marks that say that there is no error.
    """
    value = row[name]
    if not isinstance(value, bool) and value in none:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0
    if not is_number or not first <= value < num_steps + first:
        free = " or ".join("null" if mark is None else str(mark) for mark in none)
        allowed = f"{first} to {num_steps + first - 1}, or {free}"
        raise RowProblem("bad_mark", f"'{name}' must be {allowed}, found {value!r}")
    return int(value) - first


def _numbers(row: Row, name: str, num_steps: int) -> set[int]:
    values = row[name] if isinstance(row[name], list) else [None]
    for value in values:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= num_steps:
            raise RowProblem(
                "bad_mark", f"'{name}' must be a list of 1 to {num_steps}, found {row[name]!r}"
            )
    return set(values)


def _is_span(value: Any, length: int) -> bool:
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    are_ints = is_pair and all(isinstance(v, int) and not isinstance(v, bool) for v in value)
    return are_ints and 0 <= value[0] <= value[1] <= length


def _kind(value: Any) -> str:
    if isinstance(value, list) and not value:
        return "an empty list"
    return "nothing (null)" if value is None else type(value).__name__
