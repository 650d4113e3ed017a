"""The recipe: everything that decides a run, as one checked document."""

from tgdpo_core.recipe.loading import load_recipe, resolve_recipe
from tgdpo_core.recipe.schema import Recipe

__all__ = ["Recipe", "load_recipe", "resolve_recipe"]
