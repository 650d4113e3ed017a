"""Pages of runs from their folders, as ``tgdpo report`` writes them."""

from collections.abc import Sequence
from pathlib import Path

from tgdpo_core.errors import CheckpointError, UsageError
from tgdpo_core.reports.runs.page import RunPage, run_page
from tgdpo_core.reports.runs.reading import PLOTS, Run, read_run, run_names
from tgdpo_core.training.run_folder import RunFolder

PAGE = "report.html"
_SEVERAL = "runs.html"
_OURS = 'content="tgdpo report"'
_HEAD = 1000  # characters of a page within which it says whose it is


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Return what run folders hold.

    Raises:
        UsageError: one is no run folder, or is named twice.
    """
    for path in paths:
        _require_run(path)
    places = [path.resolve() for path in paths]
    if len(set(places)) < len(places):
        twice = next(place for place in places if places.count(place) > 1)
        raise UsageError(f"{twice} is named twice: a run cannot be compared with itself.")
    names = run_names(paths)
    return [read_run(path, name, _status(path)) for path, name in zip(paths, names, strict=True)]


def write_report(runs: Sequence[Run], output: Path | None) -> Path:
    """Write the page of runs and return its place.

    Args:
        runs: one, or several that are compared.
        output: file of the page; None: in the folder of the one run, of several in this folder.

    Raises:
        UsageError: the file is something else, or cannot be written.
    """
    page = run_page(runs)
    if output is None and len(runs) == 1:
        write_page(page, runs[0].path, PAGE)
        return runs[0].path / PAGE
    target = output or Path(_SEVERAL)
    if target.exists() and output is None and _OURS not in _beginning(target):
        raise UsageError(
            f"{target} exists and is no report of runs. Name another file with --output."
        )
    try:
        RunFolder(target.parent).write_text(target.name, page.html)
    except CheckpointError as error:
        raise UsageError(f"--output {target}: cannot be written: {error.__cause__}") from error
    return target


def write_page(page: RunPage, folder: Path, name: str) -> None:
    """Write a page to a file of a folder, and its charts to ``plots/``."""
    plots = plots_folder(folder)
    for plot in page.plots:
        plots.write_text(f"{plot.name}.svg", plot.svg + "\n")
    RunFolder(folder).write_text(name, page.html)


def plots_folder(folder: Path) -> RunFolder:
    """Return the folder of plots, for its way of writing."""
    (folder / PLOTS).mkdir(exist_ok=True)
    return RunFolder(folder / PLOTS)


def _require_run(path: Path) -> None:
    if (path / "cells.json").is_file():
        raise UsageError(
            f"{path} is an ablation: its report is {path / PAGE}, its runs are "
            f"{path}/cells/*/seed-*."
        )
    if not any((path / name).is_file() for name in ("run.json", "logs/train.jsonl")):
        raise UsageError(
            f"{path} is no run folder: it holds neither run.json nor logs/train.jsonl."
        )


def _status(path: Path) -> str:
    try:
        return RunFolder(path).status()
    except CheckpointError:
        return "status unknown"


def _beginning(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(_HEAD)
