"""Configurations of other programs as recipes, with every key accounted for."""

from tgdpo_core.recipe.converting.convert import PROGRAMS, convert

__all__ = ["PROGRAMS", "convert"]
