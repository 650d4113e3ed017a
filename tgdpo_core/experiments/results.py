"""The files of an ablation's results: results.csv, results.md, report.html and plots/."""

from pathlib import Path
from typing import Any

import pandas as pd

from tgdpo_core.experiments.collection import Collection, collect
from tgdpo_core.experiments.comparison import Results, results_of
from tgdpo_core.experiments.origin import origin_of
from tgdpo_core.experiments.plots import plots
from tgdpo_core.experiments.report import report_html

_FORMULA = tuple("=+-@\t\r")


def write_results(folder: Path) -> Results:
    """Return the results of an ablation folder, having written them into it.

    results.csv (one row per cell, seed and evaluation step), results.md, report.html,
    plots/NAME.svg. Finished runs count; the others are listed. Written anew at every call.

    Raises:
        UsageError: the folder holds no ablation.
        CheckpointError: a file of it is damaged.
    """
    collection = collect(folder)
    results = results_of(collection)
    figures = plots(collection, results.metric, results.summaries)
    (folder / "plots").mkdir(exist_ok=True)
    for figure in figures:
        _write(folder / "plots" / f"{figure.name}.svg", figure.svg)
    _write(folder / "results.csv", as_csv(evaluations_table(collection)))
    _write(folder / "results.md", results.markdown())
    origin = origin_of(folder, collection)
    _write(folder / "report.html", report_html(results, figures, origin, grid=_grid(folder)))
    return results


def evaluations_table(collection: Collection) -> pd.DataFrame:
    """Return the long table: cell, variant, control, baseline, settings/*, seed, metrics."""
    if not collection.names:
        return collection.evaluations
    facts = pd.DataFrame([_facts(collection, name) for name in collection.names])
    return facts.merge(collection.evaluations, on="cell", how="right")


def as_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV in which no text is a formula to a spreadsheet.

    Text that begins like one gets an apostrophe before it, as spreadsheets write it themselves.
    """
    return table.rename(columns=_no_formula).map(_no_formula).to_csv(index=False)


def _no_formula(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in _FORMULA else cell


def _facts(collection: Collection, name: str) -> dict[str, Any]:
    cell = collection.first[name]
    settings = {f"settings/{key}": value for key, value in cell.settings.items()}
    return {
        "cell": name,
        "variant": cell.variant,
        "control": cell.control,
        "baseline": cell.baseline,
        **settings,
    }


def _grid(folder: Path) -> str:
    path = folder / "ablation.yaml"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _write(path: Path, text: str) -> None:
    """Write a file in one step: a killed process leaves the old one."""
    staged = path.with_name(f".{path.name}.part")
    staged.write_text(text, encoding="utf-8")
    staged.replace(path)
