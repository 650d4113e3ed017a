"""What commands print: tables, data reports, JSON."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tgdpo_core.data.report import DataReport


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; where the output is no terminal, with one line for each row."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(*header, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        # Text: what data and plugins say is never markup.
        shown.add_row(*(Text(str(cell)) for cell in row))
    if sys.stdout.isatty():
        Console().print(shown)
        return
    console = Console(width=400)
    with console.capture() as capture:
        console.print(shown)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def print_json(value: Any) -> None:
    """Print JSON."""
    click.echo(json.dumps(value, indent=1, default=str))


def show_data(train: "DataReport", evaluation: "DataReport | None") -> None:
    """Print what was read, and every change and omission."""
    for name, report in (("Training data", train), ("Evaluation data", evaluation)):
        if report is None:
            continue
        click.echo(f"{name}: {report.source}, {report.num_pairs} pairs of {report.num_rows} rows")
        for what, count in sorted(report.counts.items()):
            click.echo(f"  {what}: {count}")
        if report.problems:
            click.echo(report.listed_problems())


def show_plan(report: Mapping[str, Any]) -> None:
    """Print the report of a dry run."""
    rows = []
    for name, value in report.items():
        if isinstance(value, Mapping | list):
            value = json.dumps(value, default=str)
        rows.append((name, str(value)))
    table(("what", "value"), rows)
    click.echo("Dry run: nothing was trained or written.")


def quiet_libraries() -> None:
    """Keep libraries from printing bars and advice between ours."""
    import datasets
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_warning()  # type: ignore[no-untyped-call]
    datasets.disable_progress_bars()
