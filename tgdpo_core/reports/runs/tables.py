"""The tables of a page of runs: last values, and what of their recipes differs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tgdpo_core.reports.axes import label
from tgdpo_core.reports.runs.reading import Run

NOTHING = "\N{EN DASH}"

_LAST = (
    "loss",
    "rewards/margins",
    "weighted/margins",
    "rewards/accuracies",
    "weighted/accuracies",
    "logps/chosen_delta",
    "logps/rejected_delta",
    "weights/mean_chosen",
    "weights/mean_rejected",
    "weighted/label_free_share",
    "eval_loss",
    "eval_rewards/accuracies",
    "eval_rewards/margins",
)
_JUDGED = ("judge/greedy", "judge/sampled", "judge/pairs", "judge/kl")
_CENTRAL = (
    "model.name_or_path",
    "data.path",
    "reward",
    "shaping.name",
    "shaping.args",
    "loss.name",
    "loss.beta",
    "training.learning_rate",
    "training.num_train_epochs",
    "training.per_device_train_batch_size",
    "training.gradient_accumulation_steps",
    "training.seed",
)
_PLACES = ("output_dir", "report")


@dataclass(frozen=True)
class Table:
    """A table: its heading, columns, rows of text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def last_values(runs: Sequence[Run]) -> Table:
    """Return the last value of every metric; of scores the best one with its epoch, too."""
    rows = [["log rows", *(str(run.log.num_rows) for run in runs)]]
    rows.append(["last step", *(str(run.log.last_step) for run in runs)])
    for name in _LAST:
        if any(name in run.log.series for run in runs):
            rows.append([name, *(_last(run, name) for run in runs)])
    for name in _JUDGED:
        if any(name in run.log.series for run in runs):
            rows.append([f"{name}, last", *(_last(run, name) for run in runs)])
            if name != "judge/kl":
                rows.append([f"{name}, highest", *(_best(run, name) for run in runs)])
    return Table("Last values", ["metric", *(run.name for run in runs)], rows)


def _last(run: Run, name: str) -> str:
    series = run.log.series.get(name)
    return label(series.last) if series else NOTHING


def _best(run: Run, name: str) -> str:
    series = run.log.series.get(name)
    if not series or not np.isfinite(series.values).any():
        return NOTHING
    at = int(np.nanargmax(np.where(np.isfinite(series.values), series.values, np.nan)))
    epoch = float(series.epochs[at])
    where = f"epoch {label(epoch)}" if math.isfinite(epoch) else f"step {series.steps[at]}"
    return f"{label(float(series.values[at]))} ({where})"


def settings(runs: Sequence[Run]) -> Table:
    """Return what differs between the recipes of several runs; of one run what is central."""
    if len(runs) == 1:
        shown = runs[0].settings
        keys = [key for key in shown if _is_central(key) and shown[key] not in (None, {}, [])]
        return Table("Recipe", ["key", "value"], [[key, _text(shown[key])] for key in keys])
    rows = [
        [key, *(_text(values[run.name]) if run.name in values else NOTHING for run in runs)]
        for key, values in differences(runs).items()
    ]
    return Table("What differs in their recipes", ["key", *(run.name for run in runs)], rows)


def differences(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """Return the recipe keys that differ, each with the values of the runs that have it.

    Runs whose recipe is not known have no say.
    """
    known = [run for run in runs if run.settings]
    keys = dict.fromkeys(key for run in known for key in run.settings if key not in _PLACES)
    found = {}
    for key in keys:
        values = {run.name: run.settings[key] for run in known if key in run.settings}
        if all(value in (None, {}, []) for value in values.values()):
            continue
        if len(values) < len(known) or len({_text(value) for value in values.values()}) > 1:
            found[key] = values
    return found


def _is_central(key: str) -> bool:
    return any(key == each or key.startswith(f"{each}.") for each in _CENTRAL)


def _text(value: Any) -> str:
    """Return a setting as YAML would have it; white space within is visible."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return repr(value)[1:-1] if not value.isprintable() or not value.strip() else value
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_text(each)}" for key, each in value.items()) or "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return str(value)
