"""What was found wrong or changed in a data set, counted, with the first rows named."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from tgdpo_core.errors import DataError

_SHOWN = 10
_PLACES = 3

OnBadRow = Literal["error", "skip"]


class RowProblem(ValueError):
    """One row cannot be used; ``kind`` is what it is counted under."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass
class DataReport:
    """Counts of a data set on its way to training.

    Attributes:
        source: what was loaded.
        num_rows: rows read.
        num_pairs: pairs that are trained on.
        problems: ``where: what`` of each row left out.
        counts: how many rows of each problem, and of each change that is not one (truncations).
        places: the first rows of each.
        problem_kinds: those counts that are rows left out.
        tokens: totals of prompt, chosen and rejected tokens.
    """

    source: str
    num_rows: int = 0
    num_pairs: int = 0
    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)
    problem_kinds: set[str] = field(default_factory=set)
    tokens: dict[str, int] = field(default_factory=dict)

    def add_problem(self, where: str, problem: RowProblem) -> None:
        """Note that a row cannot be used."""
        self.problems.append(f"{where}: {problem}")
        self.problem_kinds.add(problem.kind)
        self.note(problem.kind, where)

    def note(self, kind: str, where: str) -> None:
        """Count a row under a kind."""
        self.counts[kind] += 1
        places = self.places.setdefault(kind, [])
        if len(places) < _PLACES:
            places.append(where)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "DataReport":
        """Return a report that was written with ``to_json``."""
        report = DataReport(**values)
        report.counts = Counter(report.counts)
        report.problem_kinds = set(report.problem_kinds)
        return report

    def to_json(self) -> dict[str, Any]:
        """Return all of the report as JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            **values,
            "counts": dict(self.counts),
            "problem_kinds": sorted(self.problem_kinds),
        }

    def raise_if_unusable(
        self, on_bad_row: OnBadRow, skip: str | None = "--set data.on_bad_row=skip"
    ) -> None:
        """Raise ``DataError`` for bad rows under ``on_bad_row: error``, or if no pair is left.

        Args:
            on_bad_row: what such rows do.
            skip: how the caller is told to leave them out; None: it cannot be.
        """
        if self.problems and on_bad_row == "error":
            leave = f"leave them out with {skip} (they are counted)" if skip else "take them out"
            raise DataError(
                f"{self.source}: {len(self.problems)} of {self.num_rows} rows cannot be used.\n"
                f"{self.listed_problems()}\n{self._what_mends()}, or {leave}."
            )
        if self.num_pairs == 0:
            listed = f"\n{self.listed_problems()}" if self.problems else ""
            raise DataError(f"{self.source}: no usable pair in {self.num_rows} rows.{listed}")

    def _what_mends(self) -> str:
        """Return what to do; a setting that helps few rows would make the others unusable."""
        num_good = self.num_rows - len(self.problems)
        has_setting = any("--set " in problem for problem in self.problems)
        if has_setting and num_good > len(self.problems):
            return f"A setting is for all rows, and the other {num_good} are fine: mend the file"
        return "Mend them"

    def listed_problems(self) -> str:
        """Return the first problems, a line each."""
        lines = [f"  {problem}" for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            lines.append(f"  ... and {len(self.problems) - _SHOWN} more")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """Return JSON values for run.json."""
        return {
            "source": self.source,
            "rows": self.num_rows,
            "pairs": self.num_pairs,
            "left_out": len(self.problems),
            "counts": dict(sorted(self.counts.items())),
            "tokens": self.tokens,
        }
