"""What an ablation has to do, and what must be done before what.

Preparations come first, then what several cells share of the scoring pass, then the cells. A cell
that reads the run of another one (``{run:dpo}``) waits for it.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tgdpo_core.errors import RecipeError, did_you_mean
from tgdpo_core.experiments.cells import GridCell, grid_cells
from tgdpo_core.experiments.collection import Cell
from tgdpo_core.experiments.grid import Grid
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.recipe.loading import resolve_recipe
from tgdpo_core.recipe.schema import Recipe, RewardEntry
from tgdpo_core.scoring.sources import resolve_shaping, source_of_entry

_PLACEHOLDER = re.compile(r"\{(seed|run:[^{}]+|prepared:[^{}]+)\}")


@dataclass(frozen=True)
class Preparation:
    """A tgdpo command that makes what cells read.

    Attributes:
        key: names it among all tasks.
        command: its arguments, ``--output`` among them.
        folder: what it makes.
        needs: keys of the tasks that come before it.
    """

    key: str
    command: Sequence[str]
    folder: Path
    needs: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        """How messages name it."""
        return self.key


@dataclass(frozen=True)
class SharedScoring:
    """Values that several cells need in the store: of the reference, or of one token reward."""

    key: str
    label: str
    recipe: Recipe
    folder: Path
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True)
class CellRun:
    """A cell with one seed: an ordinary run, whose scoring pass others may share."""

    key: str
    recipe: Recipe
    cell: Cell
    folder: Path
    needs: frozenset[str] = frozenset()
    scoring: Sequence[SharedScoring] = ()

    @property
    def label(self) -> str:
        """How messages name it."""
        return self.key


Task = Preparation | SharedScoring | CellRun


@dataclass(frozen=True)
class Ablation:
    """A grid with everything it names found.

    Attributes:
        grid: what was asked for.
        folder: absolute path of the ablation folder.
        preparations: commands that run first.
        runs: every cell with every seed, in the order of the grid.
    """

    grid: Grid
    folder: Path
    preparations: Sequence[Preparation]
    runs: Sequence[CellRun]

    @property
    def cells(self) -> list[Cell]:
        """The rows of cells.json."""
        return [run.cell for run in self.runs]

    def shared_scoring(self, runs: Sequence[CellRun]) -> list[SharedScoring]:
        """Return the scoring work that at least two of these runs share."""
        found: dict[str, SharedScoring] = {}
        counts: Counter[str] = Counter()
        for run in runs:
            for task in run.scoring:
                found.setdefault(task.key, task)
                counts[task.key] += 1
        return [task for key, task in found.items() if counts[key] > 1]


def plan_ablation(grid: Grid, folder: Path, plugins: PluginManager) -> Ablation:
    """Return what an ablation will do; nothing is run, no model loaded.

    Args:
        grid: what to compare.
        folder: the ablation folder.
        plugins: where names are found.

    Raises:
        RecipeError: a cell's recipe is not valid, or a placeholder names nothing.
        PluginError: a token reward, transform, shaping or data set that does not exist, or options
            that do not fit.
    """
    folder = folder.expanduser().resolve()
    cells = grid_cells(grid)
    for cell in cells:
        _check_plugins(cell, plugins)
    places = _Places(grid, folder, {cell.name: cell for cell in cells})
    runs = [places.run(cell, seed) for cell in cells for seed in grid.seeds]
    _refuse_circles(runs)
    return Ablation(grid, folder, list(places.preparations()), runs)


@dataclass(frozen=True)
class _Places:
    """Where the things lie that placeholders name."""

    grid: Grid
    folder: Path
    cells: Mapping[str, GridCell] = field(repr=False)

    def run(self, cell: GridCell, seed: int) -> CellRun:
        """Return the run of a cell with a seed."""
        folder = self._run_folder(cell, seed)
        source = f"the cell {cell.name}"
        content = self._filled(cell.content, seed, source)
        settings = {"training.seed": seed, "output_dir": str(folder)}
        row = Cell(
            cell.name,
            cell.variant,
            cell.settings,
            seed,
            str(folder.relative_to(self.folder)),
            control=cell.control,
            baseline=cell.baseline,
        )
        recipe = resolve_recipe(content, settings=settings, source=source)
        scoring = self._scoring(cell, recipe, seed)
        needs = frozenset({*self._needs(cell.content, seed), *(task.key for task in scoring)})
        return CellRun(_run_key(cell.name, seed), recipe, row, folder, needs, scoring)

    def _scoring(self, cell: GridCell, recipe: Recipe, seed: int) -> list[SharedScoring]:
        """Return the parts of a run's scoring pass: the reference, then each token reward."""
        sections = ("model", "reference", "data")
        where = {name: getattr(recipe, name).model_dump(mode="json") for name in sections}
        first = frozenset(self._needs([cell.content.get(name) for name in sections], seed))

        def task(entry: RewardEntry, needs: frozenset[str]) -> SharedScoring:
            what = json.dumps({**where, "args": entry.args}, sort_keys=True, default=str)
            alone = recipe.model_copy(update={"reward": [entry], "judging": None})
            key = f"score {entry.plugin} {what}"
            whose = "reference" if entry.plugin == "none" else entry.plugin
            label = f"score {whose} (seed {seed})"
            return SharedScoring(key, label, alone, self.folder / "scoring", needs)

        tasks = [task(RewardEntry(plugin="none"), first)]
        for entry, unfilled in zip(recipe.reward, cell.content["reward"], strict=True):
            if entry.plugin != "none":
                needs = first | {tasks[0].key} | set(self._needs(unfilled["args"], seed))
                tasks.append(task(RewardEntry(plugin=entry.plugin, args=entry.args), needs))
        return tasks

    def preparations(self) -> Iterator[Preparation]:
        """Yield the preparations, once each or once a seed if their command says ``{seed}``."""
        for name, command in self.grid.prepare.items():
            for seed in self.grid.seeds if "{seed}" in command else self.grid.seeds[:1]:
                output = self._prepared_folder(name, seed)
                words = self._filled(command.split(), seed, f"prepare.{name}")
                needs = frozenset(self._needs(command, seed))
                yield Preparation(
                    self._preparation_key(name, seed),
                    [*words, "--output", str(output)],
                    output,
                    needs,
                )

    def _filled(self, value: Any, seed: int, source: str) -> Any:
        """Return a nested value with every placeholder filled."""
        if isinstance(value, str):
            return _PLACEHOLDER.sub(lambda m: self._meaning(m[1], seed, source), value)
        if isinstance(value, Mapping):
            return {key: self._filled(item, seed, source) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._filled(item, seed, source) for item in value]
        return value

    def _meaning(self, placeholder: str, seed: int, source: str) -> str:
        kind, _, name = placeholder.partition(":")
        if kind == "seed":
            return str(seed)
        known: Mapping[str, Any] = self.cells if kind == "run" else self.grid.prepare
        if name not in known:
            what = "cell" if kind == "run" else "preparation"
            raise RecipeError(
                f"{source}: {{{placeholder}}} names no {what}. {did_you_mean(name, known)}"
            )
        if kind == "run":
            return str(self._run_folder(self.cells[name], seed))
        return str(self._prepared_folder(name, seed))

    def _needs(self, value: Any, seed: int) -> Iterator[str]:
        """Yield the keys of the tasks that the placeholders of a nested value wait for."""
        for placeholder in _PLACEHOLDER.findall(json.dumps(value, default=str)):
            kind, _, name = placeholder.partition(":")
            if kind == "run":
                yield _run_key(name, seed)
            elif kind == "prepared":
                yield self._preparation_key(name, seed)

    def _run_folder(self, cell: GridCell, seed: int) -> Path:
        return self.folder / cell.folder / f"seed-{seed}"

    def _prepared_folder(self, name: str, seed: int) -> Path:
        place = self.folder / "prepared" / name
        return place / f"seed-{seed}" if "{seed}" in self.grid.prepare[name] else place

    def _preparation_key(self, name: str, seed: int) -> str:
        per_seed = "{seed}" in self.grid.prepare[name]
        return f"prepare {name} (seed {seed})" if per_seed else f"prepare {name}"


def _run_key(name: str, seed: int) -> str:
    return f"{name} (seed {seed})"


def _check_plugins(cell: GridCell, plugins: PluginManager) -> None:
    """Refuse names and options that no plugin has, before anything is computed."""
    recipe = cell.recipe
    for entry in recipe.reward:
        source_of_entry(entry.model_dump(), plugins)
    resolve_shaping(recipe.shaping.name, plugins, recipe.shaping.args)
    if recipe.judging:
        plugins.find("judge", recipe.judging.judge).create(recipe.judging.args)


def _refuse_circles(runs: Sequence[CellRun]) -> None:
    """Refuse cells that wait for each other."""
    needs = {run.key: {key for key in run.needs} for run in runs}
    keys = set(needs)
    while ready := {key for key in keys if not needs[key] & keys}:
        keys -= ready
    if keys:
        raise RecipeError(
            f"The cells {', '.join(sorted(keys))} wait for each other: look at their {{run:..}}."
        )
