"""The recipes that come along with the package."""

import importlib.resources
from importlib.resources.abc import Traversable
from pathlib import Path

from tgdpo_core.errors import UsageError, did_you_mean

ABLATIONS = "ablations"


def shipped_recipes() -> dict[str, Traversable]:
    """Return the shipped recipes by name, those of runs first, then those of ablations."""
    folder = importlib.resources.files("tgdpo_cli") / "recipes"
    return {**_files(folder), **_files(folder / ABLATIONS)}


def is_ablation(file: Traversable) -> bool:
    """Return whether a shipped recipe is one of ``tgdpo ablate``."""
    return Path(str(file)).parent.name == ABLATIONS


def _files(folder: Traversable) -> dict[str, Traversable]:
    return {
        file.name.removesuffix(".yaml"): file
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".yaml")
    }


def find_recipe(name: str) -> Traversable:
    """Return a shipped recipe; ``UsageError`` with suggestions where there is none."""
    recipes = shipped_recipes()
    bare = name.removesuffix(".yaml")
    if bare not in recipes:
        raise UsageError(f"Unknown recipe '{name}'. {did_you_mean(bare, recipes)}")
    return recipes[bare]


def recipe_path(config: str) -> Path:
    """Return the file that ``--config`` means: an existing file, else a shipped recipe."""
    path = Path(config).expanduser()
    if path.is_file():
        return path
    if path.suffix or path.parent != Path():
        raise UsageError(f"--config {config}: no such file.")
    return Path(str(find_recipe(config)))
