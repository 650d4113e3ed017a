"""What an ablation has to do, and what must be done before what.

Preparations come first, then what several cells share of the scoring pass, then the cells. A cell
that reads the run of another one (``{run:dpo}``) waits for it.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tgdpo_core.errors import RecipeError, did_you_mean
from tgdpo_core.experiments.cells import GridCell, base_content, grid_cells
from tgdpo_core.experiments.collection import Cell
from tgdpo_core.experiments.grid import Grid
from tgdpo_core.experiments.tasks import Ablation, CellRun, Preparation, SharedScoring
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.plugin_api.options import Options
from tgdpo_core.recipe.loading import resolve_recipe
from tgdpo_core.recipe.schema import Recipe, RewardEntry
from tgdpo_core.scoring.fitted_transforms import require_stored_where_fitted
from tgdpo_core.scoring.sources import RewardSource, resolve_shaping, source_of_entry

_SHARED = re.compile(r"\{recipe:([^{}]+)\}")
_PLACEHOLDER = re.compile(r"\{(seed|run:[^{}]+|prepared:[^{}]+)\}")


def plan_ablation(grid: Grid, folder: Path, plugins: PluginManager) -> Ablation:
    """Return what an ablation will do; nothing is run, no model loaded.

    Args:
        grid: what to compare.
        folder: the ablation folder.
        plugins: where names are found.

    Raises:
        RecipeError: a cell's recipe is not valid, or a placeholder names nothing.
        PluginError: a token reward, transform, shaping or judge that does not exist, or options
            that do not fit.
    """
    folder = folder.expanduser().resolve()
    grid = _with_recipe_values(grid)
    cells = grid_cells(grid)
    places = _Places(grid, folder, plugins, {cell.name: cell for cell in cells})
    runs = [places.run(cell, seed) for cell in cells for seed in grid.seeds]
    preparations = list(places.preparations())
    _refuse_circles([*preparations, *runs])
    return Ablation(grid, folder, preparations, runs)


@dataclass(frozen=True)
class _Places:
    """Where the things lie that placeholders name."""

    grid: Grid
    folder: Path
    plugins: PluginManager = field(repr=False)
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
        scoring = self._scoring(cell, recipe, _checked_sources(recipe, self.plugins), seed)
        needs = frozenset({*self._needs(cell.content, seed), *(task.key for task in scoring)})
        key = _run_key(cell.name, seed)
        group = group_of(recipe.training, self.folder)
        return CellRun(key, recipe, row, folder, needs, scoring, group)

    def _scoring(
        self, cell: GridCell, recipe: Recipe, sources: Sequence[RewardSource], seed: int
    ) -> list[SharedScoring]:
        """Return the parts of a run's scoring pass: the reference, then each stored reward."""
        sections = ("model", "reference", "data")
        where = {name: getattr(recipe, name).model_dump(mode="json") for name in sections}
        first = frozenset(self._needs([cell.content.get(name) for name in sections], seed))

        def task(
            name: str, entry: RewardEntry, options: Mapping[str, Any], needs: frozenset[str]
        ) -> SharedScoring:
            what = json.dumps({**where, "options": options}, sort_keys=True, default=str)
            alone = recipe.model_copy(update={"reward": [entry], "judging": None})
            label = f"score {name} for {_run_key(cell.name, seed)}"
            return SharedScoring(
                f"score {name} {what}", label, alone, self.folder / "scoring", needs
            )

        tasks = [task("reference", RewardEntry(plugin="none"), {}, first)]
        for source, entry, unfilled in zip(
            sources, recipe.reward, cell.content["reward"], strict=True
        ):
            if source.name != "none" and not source.is_dynamic:
                alone = RewardEntry(plugin=entry.plugin, args=entry.args)
                needs = first | {tasks[0].key} | set(self._needs(unfilled["args"], seed))
                tasks.append(task(source.name, alone, _stored_options(source), needs))
        return tasks

    def preparations(self) -> Iterator[Preparation]:
        """Yield the preparations, once each, or once a seed if they differ from seed to seed."""
        for name, command in self.grid.prepare.items():
            for seed in self.grid.seeds if self._is_per_seed(name) else self.grid.seeds[:1]:
                output = self._prepared_folder(name, seed)
                words = self._filled(_words(command, name), seed, f"prepare.{name}")
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
        return place / f"seed-{seed}" if self._is_per_seed(name) else place

    def _preparation_key(self, name: str, seed: int) -> str:
        is_per_seed = self._is_per_seed(name)
        return f"prepare {name} (seed {seed})" if is_per_seed else f"prepare {name}"

    def _is_per_seed(self, name: str, above: frozenset[str] = frozenset()) -> bool:
        """Return whether a preparation differs from seed to seed, by itself or by what it reads."""
        placeholders = _PLACEHOLDER.findall(self.grid.prepare.get(name, ""))
        read = {p.removeprefix("prepared:") for p in placeholders if p.startswith("prepared:")}
        return any(p == "seed" or p.startswith("run:") for p in placeholders) or any(
            self._is_per_seed(other, above | {name}) for other in read - above - {name}
        )


def _with_recipe_values(grid: Grid) -> Grid:
    """Return a grid in whose preparations ``{recipe:KEY}`` is what the cells share there."""
    content = base_content(grid)

    def value(match: re.Match[str]) -> str:
        found: Any = content
        for part in match[1].split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        if not isinstance(found, str | int | float):
            raise RecipeError(
                f"prepare: {match[0]} is no value that the recipe of all cells sets: give it "
                f"there, or with --set {match[1]}=VALUE."
            )
        return shlex.quote(str(found))

    commands = {name: _SHARED.sub(value, command) for name, command in grid.prepare.items()}
    return grid.model_copy(update={"prepare": commands})


def group_of(training: Mapping[str, Any], folder: Path) -> str:
    """Return by what name trackers group the runs of an ablation: its run_name, else its folder."""
    return str(training.get("run_name") or folder.name)


def _run_key(name: str, seed: int) -> str:
    return f"{name} (seed {seed})"


def _words(command: str, name: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise RecipeError(f"prepare.{name}: {error} in {command!r}.") from error


def _checked_sources(recipe: Recipe, plugins: PluginManager) -> list[RewardSource]:
    """Return the reward sources; refuse names and options that no plugin has or that do not fit."""
    resolve_shaping(recipe.shaping.name, plugins, recipe.shaping.args)
    if recipe.judging:
        plugins.find("judge", recipe.judging.judge).create(recipe.judging.args)
    sources = [source_of_entry(entry.model_dump(), plugins) for entry in recipe.reward]
    for source in sources:
        require_stored_where_fitted(source)
    return sources


def _stored_options(source: RewardSource) -> dict[str, Any]:
    """Return the options that decide stored values; beta of induced, say, acts after the store."""
    # Not the plugin's own options(): paths are missing there, for weights that may not exist yet.
    return Options.options(source.reward, stored_only=True)


def _refuse_circles(tasks: Sequence[Preparation | CellRun]) -> None:
    """Refuse tasks that wait for each other."""
    needs = {task.key: task.needs for task in tasks}
    keys = set(needs)
    while ready := {key for key in keys if not needs[key] & keys}:
        keys -= ready
    if keys:
        raise RecipeError(
            f"These wait for each other: {', '.join(sorted(keys))}. Look at their {{run:..}} and "
            "{prepared:..}."
        )
