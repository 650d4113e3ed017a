"""logs/train.jsonl of any run: one that goes on, was killed, or logged what is no number."""

import json
import math
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Series:
    """What was logged under one name.

    Attributes:
        steps: [n] int64, ascending.
        epochs: [n] float64; NaN where a row does not say.
        values: [n] float64; NaN or infinite where that was logged.
    """

    steps: Array
    epochs: Array
    values: Array

    @property
    def last(self) -> float:
        """The value of the last row."""
        return float(self.values[-1])


@dataclass(frozen=True)
class RunLog:
    """The rows of a log by name.

    Attributes:
        series: name to its values.
        num_rows: rows that could be read.
        notes: what could not, in sentences.
    """

    series: Mapping[str, Series]
    num_rows: int
    notes: Sequence[str]

    @property
    def last_step(self) -> int:
        """The last step that was logged; 0 without any."""
        return max((int(each.steps[-1]) for each in self.series.values()), default=0)


_Column = tuple["array[float]", "array[float]", "array[float]"]


def read_log(path: Path) -> RunLog:
    """Return what a log holds; what cannot be read is left out and said."""
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        why = "nothing was logged (yet)" if missing else f"it cannot be read: {error.strerror}"
        return RunLog({}, 0, [f"No curves: of logs/{path.name} {why}."])
    columns: dict[str, _Column] = {}
    bad: list[int] = []
    num_rows = 0
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        row = _row(line)
        if row is None:
            bad.append(number)
            continue
        num_rows += 1
        for name, value in _numbers(row):
            steps, epochs, values = columns.setdefault(name, (array("d"), array("d"), array("d")))
            steps.append(row["step"])
            epochs.append(row["epoch"])
            values.append(value)
    notes = list(_said_of_lines(bad, len(lines), ends_whole=text.endswith("\n")))
    series = {}
    twice: Counter[str] = Counter()
    for name, column in columns.items():
        series[name], repeated = _series(column)
        if repeated:
            twice[name] = repeated
    notes += _said_of_values(series, twice)
    if not num_rows:
        notes.append("No curves: the log holds no row yet.")
    return RunLog(series, num_rows, notes)


def _row(line: str) -> dict[str, Any] | None:
    """Return a log row, its step and epoch as float; None for a line that is none."""
    try:
        row = json.loads(line)
        step = float(row["step"])
        if not math.isfinite(step):
            return None
        return {**row, "step": step, "epoch": _float(row.get("epoch"))}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def _float(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return float(value) if is_number else math.nan
    except OverflowError:
        return math.inf


def _numbers(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in row.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if name not in ("step", "epoch") and (is_number or value in (None, "NaN", "nan")):
            yield name, _float(value)


def _series(column: _Column) -> tuple[Series, int]:
    """Return a column in the order of its steps, and how many of its values were logged again."""
    steps, epochs, values = (np.frombuffer(each, np.float64) for each in column)
    order = np.argsort(steps, kind="stable")
    steps, epochs, values = steps[order], epochs[order], values[order]
    is_last = np.append(steps[1:] != steps[:-1], True)
    kept = Series(steps[is_last].astype(np.int64), epochs[is_last], values[is_last])
    return kept, int((~is_last).sum())


def _said_of_lines(bad: Sequence[int], num_lines: int, *, ends_whole: bool) -> Iterator[str]:
    cut = bool(bad) and bad[-1] == num_lines and not ends_whole
    if cut:
        yield f"The last line of the log (line {num_lines}) is cut off and left out."
    others = bad[:-1] if cut else bad
    if others:
        first = ", ".join(str(number) for number in others[:3])
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        yield f"Lines of the log that are no log rows are left out: {first}{more}."


def _said_of_values(series: Mapping[str, Series], twice: Mapping[str, int]) -> Iterator[str]:
    """Yield what is unusual about values; names that are alike in it share a sentence."""
    groups: dict[str, list[str]] = {}
    for name, each in series.items():
        bad = ~np.isfinite(each.values)
        if bad.any():
            first, total = int(each.steps[np.argmax(bad)]), len(bad)
            said = f"no finite number in {int(bad.sum())} of {total} rows, first at step {first}"
            groups.setdefault(said, []).append(name)
    for said, names in groups.items():
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        yield f"{', '.join(names[:4])}{more}: {said}."
    if twice:
        most = max(twice.values())
        yield f"{most} steps were logged more than once; the last row of a step counts."
