"""What ``tgdpo ablate`` prints: the cells that there are to be, and what they showed."""

import dataclasses
from typing import TYPE_CHECKING

from tgdpo_cli.output import echo, print_json, table

if TYPE_CHECKING:
    from tgdpo_core.experiments.ablation import Summary
    from tgdpo_core.experiments.tasks import Ablation


def show_ablation(ablation: "Ablation", as_json: bool) -> None:
    """Print the cells, and what each is compared with."""
    cells = {run.cell.name: run.cell for run in ablation.runs}
    if as_json:
        runs = [
            {**vars(run.cell), "recipe": run.recipe.model_dump(mode="json")}
            for run in ablation.runs
        ]
        print_json({"cells": runs})
        return
    rows = []
    for name, cell in cells.items():
        settings = ", ".join(f"{key}={value}" for key, value in cell.settings.items())
        rows.append((name, settings, cell.baseline or "", "control" if cell.control else ""))
    table(("cell", "settings", "compared with", ""), rows, first=("compared with", ""))
    echo(f"\n{size_of(ablation)}. Dry run: nothing was run.")


def size_of(ablation: "Ablation") -> str:
    """Return how many cells, seeds and runs there are, and what is made before them."""
    size = [
        _counted(len({run.cell.name for run in ablation.runs}), "cell"),
        _counted(len(ablation.grid.seeds), "seed"),
        _counted(len(ablation.runs), "run"),
    ]
    before = {
        "preparation": len(ablation.needed_preparations(ablation.runs)),
        "shared scoring pass": len(ablation.shared_scoring(ablation.runs)),
    }
    first = " and ".join(_counted(number, what) for what, number in before.items() if number)
    return f"{', '.join(size)}{f'; first {first}' if first else ''}"


def _counted(number: int, what: str) -> str:
    """Return a number and what is counted, in the plural where it is not one."""
    ending = "" if number == 1 else "es" if what.endswith("s") else "s"
    return f"{number} {what}{ending}"


def show_results(ablation: "Ablation", summary: "Summary", as_json: bool) -> None:
    """Print the table and what follows from it."""
    results = summary.results
    if as_json:
        tables = {each.title: each.records() for each in (results.table, *results.further_tables())}
        print_json(
            {
                "folder": str(ablation.folder),
                "findings": results.findings,
                "cells": [dataclasses.asdict(each) for each in results.summaries],
                "tables": tables,
                "failed": {
                    key: outcome.error
                    for key, outcome in summary.outcomes.items()
                    if outcome.error is not None
                },
                "reused": summary.reused,
            }
        )
        return
    columns = results.table.columns
    # What decides, for a narrow screen: where the cell ends, and by how much it differs.
    first = sorted(columns, key=lambda name: not name.startswith("end"))
    table(columns, results.table.rows, first=first, rest=str(ablation.folder / "results.md"))
    echo()
    for finding in results.findings:
        echo(finding)
    if summary.reused:
        echo(f"{summary.reused} runs were finished before and kept.")
    echo(f"Report: {ablation.folder / 'report.html'}")
