"""``tgdpo report``: the page of a run, or of several side by side."""

from collections.abc import Sequence
from pathlib import Path

import click

from tgdpo_cli.output import echo, json_option, print_json


@click.command("report")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the page goes; default: RUN/report.html, of several runs ./runs.html.",
)
@json_option
def command(runs: Sequence[Path], output: Path | None, as_json: bool) -> None:
    """Write the page of a run: curves, rewards, weights, worst and best pairs.

    A run writes RUN/report.html itself when it is done (recipe: report). This command reads the
    files of run folders, so it works while a run goes on, after a kill, and on damaged logs: what
    cannot be shown is said on the page. Several runs share one page: their curves lie over each
    other, and what differs in their recipes is a table. The page is one file without script.
    With --json what the page says is printed; it is written only where --output is given.

    \b
      tgdpo report runs/tgdpo
      tgdpo report runs/dpo runs/tgdpo --output compared.html
      tgdpo report runs/mine/cells/*/seed-0 --json
    """
    from tgdpo_core.training.run_reports import read_runs, write_report

    found = read_runs(runs)
    if as_json:
        from tgdpo_core.reports.runs.page import summary

        written = {"file": str(write_report(found, output))} if output else {}
        print_json({**summary(found), **written})
        return
    target = write_report(found, output)
    for run in found:
        echo(f"{run.name}: {run.status}, {run.log.num_rows} log rows")
        for note in run.notes:
            echo(f"  {note}")
    echo(f"{target}: open it in any browser.")
