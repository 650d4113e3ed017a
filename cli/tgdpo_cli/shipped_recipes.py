"""The recipes that come along with the package, and the files that start them on many GPUs."""

import importlib.resources
from importlib.resources.abc import Traversable
from pathlib import Path

from tgdpo_core.errors import UsageError, did_you_mean

ABLATIONS = "ablations"
EVALUATE = "evaluate"
_LAUNCH = {"accelerate": ".yaml", "slurm": ".sbatch"}


def shipped_recipes() -> dict[str, Traversable]:
    """Return the shipped recipes by name, those of runs first, then those of ablations."""
    folder = importlib.resources.files("tgdpo_cli") / "recipes"
    return {**_files(folder), **_files(folder / ABLATIONS)}


def launch_files() -> dict[str, Traversable]:
    """Return accelerate configs and job scripts by name: ``accelerate/ddp``, ``slurm/train``."""
    root = importlib.resources.files("tgdpo_cli") / "recipes"
    return {
        f"{folder}/{name}": file
        for folder, suffix in _LAUNCH.items()
        for name, file in _files(root / folder, suffix).items()
    }


def evaluation_files() -> dict[str, Traversable]:
    """Return the recipes of other forms of ``tgdpo evaluate`` by name: ``dimensions``."""
    return _files(importlib.resources.files("tgdpo_cli") / "recipes" / EVALUATE)


def evaluation_recipe(config: str) -> Path:
    """Return the file that ``--dimensions`` means: an existing one, else a shipped one."""
    path = Path(config).expanduser()
    if path.is_file():
        return path
    files = evaluation_files()
    bare = config.removesuffix(".yaml")
    if bare not in files:
        raise UsageError(f"--dimensions {config}: no such file. {did_you_mean(bare, files)}")
    return Path(str(files[bare]))


def is_ablation(file: Traversable) -> bool:
    """Return whether a shipped recipe is one of ``tgdpo ablate``."""
    return Path(str(file)).parent.name == ABLATIONS


def _files(folder: Traversable, suffix: str = ".yaml") -> dict[str, Traversable]:
    return {
        file.name.removesuffix(suffix): file
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(suffix)
    }


def find_recipe(name: str) -> Traversable:
    """Return a shipped recipe; ``UsageError`` with suggestions where there is none."""
    recipes = shipped_recipes()
    bare = name.removesuffix(".yaml")
    if bare not in recipes:
        raise UsageError(f"Unknown recipe '{name}'. {did_you_mean(bare, recipes)}")
    return recipes[bare]


def find_file(name: str) -> Traversable:
    """Return a shipped recipe or launch file; ``UsageError`` where there is none of this name."""
    bare = name.removesuffix(".yaml").removesuffix(".sbatch")
    files = {**shipped_recipes(), **evaluation_files(), **launch_files()}
    if bare not in files:
        raise UsageError(f"Unknown recipe '{name}'. {did_you_mean(bare, files)}")
    return files[bare]


def accelerate_config(name: str) -> Path:
    """Return the file that ``--accelerate-config`` means: an existing one, else a shipped one."""
    path = Path(name).expanduser()
    if path.is_file():
        return path
    configs = {n: f for n, f in launch_files().items() if n.startswith("accelerate/")}
    bare = name.removesuffix(".yaml")
    if bare not in configs:
        raise UsageError(f"--accelerate-config {name}: no such file. {did_you_mean(bare, configs)}")
    return Path(str(configs[bare]))


def recipe_path(config: str) -> Path:
    """Return the file that ``--config`` means: an existing file, else a shipped recipe."""
    path = Path(config).expanduser()
    if path.is_file():
        return path
    if path.suffix or path.parent != Path():
        raise UsageError(f"--config {config}: no such file.")
    return Path(str(find_recipe(config)))
