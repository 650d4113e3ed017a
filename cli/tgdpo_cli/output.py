"""What commands print: tables, data reports, JSON."""

import json
import math
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tgdpo_core.data.report import DataReport
    from tgdpo_core.reports.diagnostics import Diagnostics

_QUANTILE_NAMES = {0.0: "min", 0.5: "median", 1.0: "max"}


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document; all else goes to stderr."
)


def echo(text: str = "", *, err: bool = False) -> None:
    """Print text that may hold what data, files or plugins say; control characters as escapes."""
    from tgdpo_core.reports.visible import printable

    click.echo(printable(text), err=err)


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    names: int = 1,
    first: Sequence[str] = (),
    rest: str = "--json",
) -> None:
    """Print a table; see ``tables``. What is no terminal gets all columns, one line for each row.

    Args:
        header: names of the columns.
        rows: one text a column.
        names: so many columns at the left are names, which are never cut.
        first: the columns that matter most, for a narrow screen.
        rest: where the columns are that do not fit.
    """
    lines = table_text(header, rows, names=names, first=first, rest=rest)
    click.echo("\n".join(lines))


def table_text(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, err: bool = False, **how: Any
) -> list[str]:
    """Return the lines of a table for stdout, or for stderr."""
    from tgdpo_cli.tables import WIDE, table_lines
    from tgdpo_core.reports.visible import printable

    is_screen = (sys.stderr if err else sys.stdout).isatty()
    width = shutil.get_terminal_size().columns if is_screen else WIDE
    shown = [[printable(str(cell)) for cell in row] for row in rows]
    return table_lines([printable(name) for name in header], shown, width=width, **how)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object; numbers that JSON does not know (NaN, infinities) are null."""
    click.echo(json.dumps(_finite(value), indent=1, default=str, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def options_text(values: Mapping[str, Any]) -> str:
    """Return the options of a plugin that are set, in a line."""
    return ", ".join(f"{k}={visible_value(v)}" for k, v in values.items() if v is not None)


def visible_value(value: Any) -> Any:
    """Return a value of an option; of text with line breaks or blanks at its ends what they are."""
    is_plain = not isinstance(value, str) or (value.isprintable() and value == value.strip())
    return value if is_plain and value != "" else json.dumps(value)


def show_data(train: "DataReport", evaluation: "DataReport | None") -> None:
    """Print what was read, and every change and omission so far, with its share."""
    from tgdpo_core.data.shares import share_lines

    for name, report in (("Training data", train), ("Evaluation data", evaluation)):
        if report is None:
            continue
        echo(f"{name}: {report.source}, {report.num_pairs} pairs of {report.num_rows} rows")
        for line in share_lines(report):
            echo(f"  {line}")
        if report.problems:
            echo(report.listed_problems())


def show_plan(report: Mapping[str, Any]) -> None:
    """Print the report of a dry run, nested values by their dotted names."""
    table(("what", "value"), list(_flat(report)))


def _flat(report: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in report.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, float):
            yield f"{prefix}{name}", f"{value:.4g}"
        elif value not in (None, {}, []):
            yield f"{prefix}{name}", json.dumps(value) if isinstance(value, list) else str(value)


def show_diagnostics(diagnostics: "Diagnostics") -> None:
    """Print statistics of token rewards and weights, and the failure signs they show."""
    rewards = diagnostics.rewards
    click.echo(
        f"\nToken rewards of {diagnostics.num_pairs} training pairs "
        f"({rewards[0].num_tokens} response tokens)"
    )
    table(
        ("reward", "mean", "sd", "rms", "mean chosen", "mean rejected", "non-zero", "correlation"),
        [
            (
                r.name,
                *(f"{v:.3g}" for v in (r.mean, r.std, r.rms, r.mean_chosen, r.mean_rejected)),
                f"{r.nonzero_fraction:.1%}",
                "-" if r.pair_correlation is None else f"{r.pair_correlation:.2f}",
            )
            for r in rewards
        ],
    )
    click.echo("Quantiles")
    names = [_QUANTILE_NAMES.get(q, f"{q:.0%}") for q in rewards[0].quantiles]
    table(
        ("reward", *names),
        [(r.name, *(f"{value:.3g}" for value in r.quantiles.values())) for r in rewards],
    )
    click.echo("\nToken weights")
    table(
        ("side", "mean f", "sd f", "min", "max", "negative", "effective"),
        [
            (
                side,
                *(f"{v:.4g}" for v in (w.mean, w.std, w.min, w.max)),
                f"{w.negative_fraction:.1%}",
                f"{w.effective_fraction:.1%}",
            )
            for side, w in (("chosen", diagnostics.chosen), ("rejected", diagnostics.rejected))
        ],
    )
    if diagnostics.weight_ratio is not None:
        click.echo(f"mean f_w / mean f_l: {diagnostics.weight_ratio:.4g}")
    if diagnostics.errors:
        aucs = diagnostics.errors.chosen, diagnostics.errors.rejected
        chosen, rejected = ("-" if auc is None else f"{auc:.3f}" for auc in aucs)
        click.echo(
            f"AUC of known errors by low reward: {chosen} chosen ({diagnostics.errors.num_chosen} "
            f"error tokens), {rejected} rejected ({diagnostics.errors.num_rejected})"
        )
    for warning in diagnostics.warnings:
        echo(f"Warning: {warning.message}")


def quiet_libraries() -> None:
    """Keep libraries from printing bars and advice between ours."""
    import datasets
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_warning()  # type: ignore[no-untyped-call]
    datasets.disable_progress_bars()
