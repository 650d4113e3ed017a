"""Marked rows of a data set: from its own marks, or from a judge that knows errors."""

from dataclasses import dataclass
from itertools import islice

from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.report import DataReport, OnBadRow
from tgdpo_core.data.sources import load_rows
from tgdpo_core.errors import DataError
from tgdpo_core.marks.judged import judged_rows
from tgdpo_core.marks.responses import MarkedRow
from tgdpo_core.marks.rows import parse_marked_rows
from tgdpo_core.plugin_api.manager import PluginManager


@dataclass(frozen=True)
class MarkedSource:
    """Where marked rows come from.

    Attributes:
        path: file, folder, Hub id, or the name of a registered data set.
        split: of a data set that has several.
        judge: a judge that knows errors, for preference pairs without marks; None: the rows' own
            marks, or the judge that a registered data set names.
        separator: stands between steps that a row has as a list.
        limit: the first rows only.
        on_bad_row: ``error`` or ``skip``.
    """

    path: str
    split: str = "train"
    judge: str | None = None
    separator: str = "\n"
    limit: int | None = None
    on_bad_row: OnBadRow = "error"


def read_marked_rows(
    source: MarkedSource, plugins: PluginManager
) -> tuple[list[MarkedRow], DataReport]:
    """Return the rows and what was found wrong with others.

    Raises:
        DataError: rows without marks under ``on_bad_row: error``, or none left.
        PluginError: the judge is unknown or knows no errors.
    """
    if not source.separator:
        raise DataError("The separator between steps is empty: steps could not be told apart.")
    rows = list(islice(load_rows(source.path, split=source.split, plugins=plugins), source.limit))
    report = DataReport(source.path)
    judge = source.judge or error_judge_of(source.path, plugins)
    if judge is None:
        marked = parse_marked_rows(rows, report, separator=source.separator)
        require_usable(report, source.on_bad_row)
        return marked, report
    pairs = parse_rows(rows, report)
    require_usable(report, source.on_bad_row)
    return judged_rows((judge, plugins.find("judge", judge).create({})), pairs), report


def require_usable(report: DataReport, on_bad_row: OnBadRow) -> None:
    """Raise ``DataError`` for rows that cannot be used under ``error``, or if none is left."""
    if report.problems and (on_bad_row == "error" or not report.num_pairs):
        raise DataError(
            f"{report.source}: {len(report.problems)} of {report.num_rows} rows cannot be used.\n"
            f"{report.listed_problems()}\n"
            "Mend them, or leave them out with --on-bad-row skip (they are counted)."
        )
    if not report.num_pairs:
        raise DataError(f"{report.source}: no row.")


def error_judge_of(path: str, plugins: PluginManager) -> str | None:
    """Return the judge of errors that a registered data set names; None without one."""
    if not plugins.has("dataset", path):
        return None
    named: str | None = plugins.find("dataset", path).factory.error_judge
    return named
