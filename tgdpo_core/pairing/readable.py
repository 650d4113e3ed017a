"""Whether training can read what pairs are made of: the same reader looks at it before."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tgdpo_core.data.columns import RowReading
from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.report import DataReport
from tgdpo_core.errors import DataError
from tgdpo_core.generation.answers import AnsweredPrompt


def require_prompts(path: Path, answered: Sequence[AnsweredPrompt]) -> None:
    """Refuse prompts of a file of answers that no row of a data set may have.

    Raises:
        DataError: with the first ones and what is wrong with them.
    """
    rows = [{**item.columns, "prompt": item.prompt} for item in answered]
    report = _read(str(path), rows, RowReading(prompts_suffice=True))
    if report.problems:
        raise DataError(
            f"{path}: {len(report.problems)} of {len(rows)} prompts could not be trained on.\n"
            f"{report.listed_problems()}\nMend them, or take them out."
        )


def require_trainable(rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse rows that ``tgdpo train`` would refuse, before they are written.

    Raises:
        DataError: with the first ones and what is wrong with them.
    """
    report = _read("pairs", rows, RowReading())
    if report.problems:
        raise DataError(
            f"{len(report.problems)} of {len(rows)} pairs could not be trained on.\n"
            f"{report.listed_problems()}\nNothing was written. Mend these prompts or answers, or "
            "take them out; what was drawn and judged is kept."
        )


def _read(source: str, rows: Sequence[Mapping[str, Any]], reading: RowReading) -> DataReport:
    report = DataReport(source)
    parse_rows([(f"{source}: row {n}", dict(r)) for n, r in enumerate(rows, 1)], report, reading)
    return report
