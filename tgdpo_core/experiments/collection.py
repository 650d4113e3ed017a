"""What the cells of an ablation folder logged, as tables; and which cells are not finished."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from tgdpo_core.errors import CheckpointError, UsageError
from tgdpo_core.experiments.curves import Curve

# Wall-clock figures and counters: two runs of one cell differ in them, and they are no result.
_NOT_RESULTS = (
    "_per_second",
    "_runtime",
    "_preparation_time",
    "peak_memory_mib",
    "total_flos",
    "train_loss",
)
_KEYS = ["step", "epoch"]


@dataclass(frozen=True)
class Cell:
    """One run of the grid: a row of ``cells.json``.

    Attributes:
        name: of the cell; its runs differ in the seed only.
        variant: the variant of the grid that the cell belongs to.
        settings: what varies, or is central.
        seed: of this run.
        folder: run folder, relative to the ablation folder.
        control: whether the cell is there for comparison only.
        baseline: name of the cell that differences are taken to.
    """

    name: str
    variant: str
    settings: dict[str, Any]
    seed: int
    folder: str
    control: bool = False
    baseline: str | None = None


@dataclass(frozen=True)
class Unfinished:
    """A run that left no result, and why."""

    cell: Cell
    reason: str


@dataclass(frozen=True)
class Collection:
    """Everything that was logged.

    Attributes:
        cells: every run of the grid, in its order.
        evaluations: one row per finished run and evaluation step: ``cell``, ``seed``, ``step``,
            ``epoch``, the evaluation metrics, and the training metrics as means over the log rows
            since the evaluation before.
        training: one row per finished run and training log row.
        unfinished: the other runs.
        versions: what the finished runs ran with, each set once; one where all ran with the same.
    """

    cells: Sequence[Cell]
    evaluations: pd.DataFrame = field(repr=False)
    training: pd.DataFrame = field(repr=False)
    unfinished: Sequence[Unfinished]
    versions: Sequence[str]

    @cached_property
    def names(self) -> list[str]:
        """Names of the cells, each once."""
        return list(dict.fromkeys(cell.name for cell in self.cells))

    @cached_property
    def first(self) -> dict[str, Cell]:
        """Name to the first run of the cell."""
        return {cell.name: cell for cell in reversed(self.cells)}

    @cached_property
    def finished(self) -> dict[str, list[int]]:
        """Name to the seeds of the finished runs."""
        missing = {(run.cell.name, run.cell.seed) for run in self.unfinished}
        return {
            name: [c.seed for c in self.cells if c.name == name and (name, c.seed) not in missing]
            for name in self.names
        }

    def curve(self, cell: str, metric: str, *, training: bool = False) -> Curve | None:
        """Return a metric of a cell over the epochs that all its seeds have; None without any."""
        table = self.training if training else self.evaluations
        if metric not in table.columns:
            return None
        rows = table.loc[table["cell"] == cell, ["epoch", "seed", metric]].dropna()
        if rows.empty:
            return None
        wide = rows.pivot_table(index="epoch", columns="seed", values=metric).dropna()
        values = {int(seed): wide[seed].tolist() for seed in wide.columns}
        return Curve(wide.index.tolist(), values) if len(wide) else None


def collect(folder: Path) -> Collection:
    """Return the logs of an ablation folder.

    Raises:
        UsageError: the folder holds no ablation.
        CheckpointError: a file of it is damaged.
    """
    cells = _read_cells(folder / "cells.json")
    evaluations, training, unfinished, versions = [], [], [], set()
    for cell in cells:
        run = folder / cell.folder
        record = _read_record(run / "run.json")
        if record.get("status") != "done":
            unfinished.append(Unfinished(cell, _reason(run, record)))
            continue
        log = _read_log(run / "logs" / "train.jsonl")
        evaluations.append(_labelled(cell, _evaluations(log)))
        training.append(_labelled(cell, log[log["loss"].notna()]))
        versions.add(_versions(record))
    return Collection(
        cells, _joined(evaluations), _joined(training), unfinished, sorted(versions - {""})
    )


def _read_cells(path: Path) -> list[Cell]:
    try:
        return [Cell(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError as error:
        raise UsageError(
            f"{path.parent} is no ablation folder: it has no cells.json. Run tgdpo ablate first."
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}. tgdpo ablate with the same grid writes it anew."
        ) from error


def _read_record(path: Path) -> dict[str, Any]:
    try:
        return _object(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}. {_run_again(path.parent)}"
        ) from error


def _reason(run: Path, record: dict[str, Any]) -> str:
    """Return why a run left no result."""
    message = run / "error.txt"
    if message.exists():
        return message.read_text(encoding="utf-8", errors="replace").strip()
    return str(record.get("error") or record.get("status") or "not run")


def _versions(record: dict[str, Any]) -> str:
    """Return versions and commit that run.json names, in a line."""
    found = [f"{name} {version}" for name, version in record.get("versions", {}).items()]
    commit = record.get("git_commit")
    return ", ".join(found + ([f"git commit {commit}"] if commit else []))


def _read_log(path: Path) -> pd.DataFrame:
    """Return the rows of a log; the last one of a step counts, column by column."""
    rows = pd.DataFrame(list(_log_rows(path)))
    for column in ("step", "epoch", "loss"):
        if column not in rows.columns:
            rows[column] = float("nan")
    kept = [column for column in rows.columns if not column.endswith(_NOT_RESULTS)]
    merged = rows[kept].groupby("step", as_index=False, sort=True).last()
    return merged.astype({"step": int, "epoch": float})


def _log_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise CheckpointError(
            f"{path} of a finished run cannot be read: {error}. {_run_again(path.parent.parent)}"
        ) from error
    for number, line in enumerate(lines, start=1):
        try:
            yield _object(line)
        except ValueError as error:
            raise CheckpointError(
                f"{path} line {number} is damaged: {error}. {_run_again(path.parent.parent)}"
            ) from error


def _object(text: str) -> dict[str, Any]:
    """Return a JSON object; raise ValueError where the text is none."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"{text.strip()[:40]} is no JSON object")
    return value


def _run_again(run: Path) -> str:
    return f"Remove {run}: tgdpo ablate with the same grid runs it again."


def _evaluations(log: pd.DataFrame) -> pd.DataFrame:
    """Return one row per evaluation step, with the training metrics of the window before it."""
    measured = [name for name in log.columns if name.startswith(("eval_", "judge/"))]
    trained = [name for name in log.columns if name not in (*measured, *_KEYS)]
    at = log.loc[log[measured].notna().any(axis=1), [*_KEYS, *measured]]
    rows = log.loc[log["loss"].notna(), ["step", *trained]]
    if at.empty:
        return at
    steps = at[["step"]].assign(window=at["step"])
    windows = pd.merge_asof(rows, steps, on="step", direction="forward").dropna(subset=["window"])
    means = windows.drop(columns="step").groupby("window").mean()
    return at.merge(means, how="left", left_on="step", right_index=True)


def _labelled(cell: Cell, rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(cell=cell.name, seed=cell.seed)


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    labels = ["cell", "seed", *_KEYS]
    filled = [table for table in tables if not table.empty]
    if not filled:
        return pd.DataFrame(columns=labels)
    table = pd.concat(filled, ignore_index=True)
    return table[labels + sorted(set(table.columns) - set(labels))]
