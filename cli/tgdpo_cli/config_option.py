"""``--config`` of commands that are no runs: a YAML file with values for the command's options."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from tgdpo_cli.shipped_recipes import find_file


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option; what the command line says goes before what the file says."""
    return click.option(
        "--config",
        is_eager=True,
        expose_value=False,
        callback=_read,
        help="YAML file with values of these options, or a name of `tgdpo recipes list`.",
    )(function)


def _read(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    """Make the values of the file the defaults of the options."""
    if value is None:
        return
    from tgdpo_core.errors import RecipeError, did_you_mean
    from tgdpo_core.recipe.loading import load_recipe

    path = Path(value).expanduser()
    if not path.is_file():
        path = Path(str(find_file(value)))
    content = load_recipe(path)
    known = {option for parameter in ctx.command.params for option in _names(parameter)}
    defaults = {}
    for key, given in content.items():
        name = str(key).replace("-", "_")
        if name not in known or name == "config":
            allowed = [each.replace("_", "-") for each in known - {"config", "help"}]
            raise RecipeError(f"{path}: unknown key '{key}'. {did_you_mean(str(key), allowed)}")
        parameter = _parameter(ctx, name)
        is_single = isinstance(given, str | int | float) and getattr(parameter, "multiple", False)
        defaults[str(parameter.name)] = [given] if is_single else given
    ctx.default_map = {**(ctx.default_map or {}), **defaults}


def _parameter(ctx: click.Context, name: str) -> click.Parameter:
    """Return the parameter that an option of this name sets."""
    return next(p for p in ctx.command.params if name in _names(p))


def _names(parameter: click.Parameter) -> Mapping[str, None]:
    """Return how a parameter may be called in a file."""
    options = [option.lstrip("-").replace("-", "_") for option in parameter.opts]
    return dict.fromkeys([str(parameter.name), *options])
