"""Distributions that a recipe needs, as pip writes them: ``acme-prm>=1``."""

import importlib.metadata
from collections.abc import Sequence

from packaging.requirements import InvalidRequirement, Requirement

from tgdpo_core.errors import RecipeError


def check_requirements(values: Sequence[str]) -> None:
    """Raise ``ValueError`` for a text that is no requirement."""
    for value in values:
        try:
            Requirement(value)
        except InvalidRequirement as error:
            raise ValueError(f"{value!r}: expected NAME or NAME>=VERSION ({error})") from error


def require_installed(values: Sequence[str]) -> None:
    """Raise ``RecipeError`` for a distribution that is not installed, or in another version."""
    for value in values:
        wanted = Requirement(value)
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            raise RecipeError(
                f"requires: {wanted.name} is not installed. Install it: pip install '{value}'."
            ) from None
        if not wanted.specifier.contains(found, prereleases=True):
            raise RecipeError(
                f"requires: {wanted.name}{wanted.specifier} is needed, {found} is installed. "
                f"Install it: pip install '{value}', or change the line if {found} will do."
            )


def with_used(values: Sequence[str], used: Sequence[tuple[str, str]]) -> list[str]:
    """Return requirements with those of used distributions (name, version) that they lack."""
    named = {Requirement(value).name.lower().replace("_", "-") for value in values}
    more = {f"{name}=={version}" for name, version in used if name not in named and version}
    return [*values, *sorted(more)]
