"""Options of ``tgdpo evaluate`` about verdicts on several models, and what they mean."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli.chosen_judges import ChosenJudge
from tgdpo_cli.model_names import short_names
from tgdpo_cli.option_sets import option_set

if TYPE_CHECKING:
    from tgdpo_core.evaluation.length_control import Gamed

NAMES = ("baseline", "compare", "tie_rule", "output_dir", "gamed")
"""The parameters of the options."""

_OPTIONS = [
    click.option(
        "--baseline", help="Model that the others are compared with (default: the first)."
    ),
    click.option(
        "--compare",
        type=click.Choice(["baseline", "all"]),
        default="baseline",
        show_default=True,
        help="Judges of comparisons: each model with the baseline, or every two models.",
    ),
    click.option(
        "--tie-rule",
        type=click.Choice(["mean", "agree"]),
        default="mean",
        show_default=True,
        help="Both orders: each counts half, or a win only where both name the same winner.",
    ),
    click.option(
        "--output-dir",
        default="verdict",
        show_default=True,
        type=click.Path(path_type=Path, file_okay=False),
        help="Where verdict.html, verdict.json, verdict.csv and the answers go.",
    ),
    click.option(
        "--gamed",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="AlpacaEval's df_gamed.csv, for its own length-controlled win rate.",
    ),
]


verdict_options = option_set(_OPTIONS)
"""Adds the options to a command."""


def is_verdict(values: Mapping[str, Any], judges: Sequence[ChosenJudge]) -> bool:
    """Return whether models are judged side by side: asked for, or the judges need it."""
    return (
        values["prompts"] is not None
        or len(judges) > 1
        or judges[0].instance.reads == "comparisons"
        or any(answers_file(model) for model in values["models"])
    )


def answers_file(model: str) -> Path | None:
    """Return the file of answers that a model's name is, if it is one."""
    path = Path(model)
    return path if path.suffix == ".jsonl" and path.is_file() else None


def names_of_models(models: Sequence[str]) -> list[str]:
    """Return short names; a file of answers is called without its suffix."""
    return short_names([str(Path(m).with_suffix("")) if answers_file(m) else m for m in models])


def chosen_baseline(baseline: str | None, models: Sequence[str], names: Sequence[str]) -> str:
    """Return the name of the baseline: the first model, or the one that is named or given.

    Raises:
        UsageError: of click: it is none of the models.
    """
    if baseline is None:
        return names[0]
    for model, name in zip(models, names, strict=True):
        if baseline in (name, model):
            return name
    raise click.UsageError(f"--baseline {baseline} is none of the models: {', '.join(names)}.")


def require_own_folder(folder: Path) -> None:
    """Raise ``UsageError`` for an output folder that holds something else than a verdict."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "verdict.json").exists():
        raise click.UsageError(
            f"--output-dir {folder} holds other files and no verdict. Name a folder of its own."
        )


def read_gamed(path: Path) -> "Gamed":
    """Return AlpacaEval's judgements of its baseline told to be verbose or concise.

    Raises:
        DataError: the file lacks a column, or has a cell that is no number.
    """
    import csv

    import numpy as np

    from tgdpo_core.errors import DataError
    from tgdpo_core.evaluation.length_control import Gamed

    columns = ("preference", "std_delta_len", "instruction_difficulty")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        found = [np.array([float(row[name]) for row in rows]) for name in columns]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: expected numbers in the columns {', '.join(columns)}, as AlpacaEval's "
            f"df_gamed.csv has them ({type(error).__name__}: {error})."
        ) from error
    if not rows or not all(np.isfinite(column).all() for column in found):
        raise DataError(f"{path}: has no rows, or a cell that is no finite number.")
    if found[0].min() < 0 or found[0].max() > 1:
        raise DataError(f"{path}: preferences must be from 0 to 1, got {found[0].max():g}.")
    return Gamed(*found)
