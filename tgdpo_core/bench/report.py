"""A bench as files: bench.md, bench.html (no script, nothing loaded), bench.svg, results.json."""

import json
from pathlib import Path

from markupsafe import Markup

from tgdpo_core.bench.figures import figure
from tgdpo_core.bench.results import BenchResults
from tgdpo_core.bench.tables import Table, findings, tables
from tgdpo_core.bench.wording import (
    data_sentences,
    method_sentences,
    reward_sentences,
    setup_sentences,
)
from tgdpo_core.errors import UsageError
from tgdpo_core.reports.figures import INK
from tgdpo_core.reports.pages import page_environment
from tgdpo_core.reports.visible import escaped

RESULTS = "results.json"


def write_report(results: BenchResults, folder: Path, more: list[Table]) -> None:
    """Write the four files; results.json last.

    Args:
        results: what was found.
        folder: is made.
        more: further tables, such as a comparison.

    Raises:
        UsageError: the folder cannot be written.
    """
    plot = figure(results)
    shown = [*tables(results), *more]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bench.svg").write_text(plot.svg, encoding="utf-8")
        (folder / "bench.md").write_text(markdown(results, shown), encoding="utf-8")
        (folder / "bench.html").write_text(page(results, shown), encoding="utf-8")
        text = json.dumps(results.as_dict(), indent=1, default=str)
        (folder / RESULTS).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--output-dir {folder}: cannot be written: {error}") from error


def markdown(results: BenchResults, shown: list[Table]) -> str:
    """Return bench.md."""
    lines = ["# Token rewards against marked errors", ""]
    lines += [f"- {escaped(text)}" for text in findings(results)] + [""]
    for table in shown:
        lines += [f"## {escaped(table.title)}", "", *_markdown_rows(table), ""]
    lines += ["![Step AUC and reliability](bench.svg)", "", "## Rows, rewards, method", ""]
    lines += [f"- {escaped(text)}" for text in _sentences(results)]
    return "\n".join(lines) + "\n"


def _markdown_rows(table: Table) -> list[str]:
    rows = [table.columns, ["---"] * len(table.columns), *table.rows]
    return [
        "| " + " | ".join(escaped(cell).replace("|", "\\|") for cell in row) + " |" for row in rows
    ]


def page(results: BenchResults, shown: list[Table]) -> str:
    """Return bench.html, one self-contained file."""
    plot = figure(results)
    environment = page_environment("tgdpo_core.bench")
    return environment.get_template("bench.html.j2").render(
        findings=findings(results),
        tables=shown,
        plot=Markup(plot.svg.replace(INK, "currentColor")),
        caption=plot.caption,
        notes=_sentences(results),
    )


def _sentences(results: BenchResults) -> list[str]:
    return [
        *data_sentences(results.data),
        *setup_sentences(results.data),
        *reward_sentences(results),
        *method_sentences(results),
    ]
