"""The tasks of an ablation: what is run, where it writes, and what must be done before it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tgdpo_core.experiments.collection import Cell
from tgdpo_core.experiments.grid import Grid
from tgdpo_core.recipe.schema import Recipe


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
    """A cell with one seed: an ordinary run, whose scoring pass others may share.

    Attributes:
        ablation: name of the ablation that it belongs to.
    """

    key: str
    recipe: Recipe
    cell: Cell
    folder: Path
    needs: frozenset[str] = frozenset()
    scoring: Sequence[SharedScoring] = ()
    ablation: str = ""

    @property
    def tracked_name(self) -> str:
        """How trackers name it: cell and seed."""
        return f"{self.cell.name}/seed-{self.cell.seed}"

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

    def needed_preparations(self, runs: Sequence[CellRun]) -> list[Preparation]:
        """Return the preparations that these runs wait for, by themselves or through others."""
        known = {task.key: task for task in self.preparations}
        needed: set[str] = set()
        found = {key for run in runs for key in run.needs}
        while found := (found & known.keys()) - needed:
            needed |= found
            found = {key for name in found for key in known[name].needs}
        return [task for task in self.preparations if task.key in needed]

    def shared_scoring(self, runs: Sequence[CellRun]) -> list[SharedScoring]:
        """Return the scoring work that at least two of these runs share."""
        found: dict[str, SharedScoring] = {}
        counts: Counter[str] = Counter()
        for run in runs:
            for task in run.scoring:
                found.setdefault(task.key, task)
                counts[task.key] += 1
        return [task for key, task in found.items() if counts[key] > 1]
