"""What the options of ``tgdpo ablate`` say about the grid."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli.recipe_options import key_value, transform_entry

if TYPE_CHECKING:
    from tgdpo_core.experiments.grid import Grid

_OF_VARIANTS = {
    "--reward-plugin": "rewards",
    "--reward-arg": "reward_args",
    "--reward-transform": "transforms",
    "--control": "controls",
    "--shaping": "shapings",
    "--alpha": "alphas",
    "--beta": "betas",
    "--reward-beta": "reward_betas",
}


def grid_from(options: Mapping[str, Any]) -> tuple["Grid", str]:
    """Return the grid of a command's option values, and the name its folder has by default."""
    from tgdpo_cli.shipped_recipes import recipe_path
    from tgdpo_core.experiments.grid import quick_form, read_grid
    from tgdpo_core.recipe import load_recipe
    from tgdpo_core.recipe.trust import require_trust

    path = recipe_path(options["config"])
    content = load_recipe(path)
    if "variants" not in content:
        content = {"recipe": content, "variants": _variants(options, options["config"])}
    elif given := [flag for flag, key in _OF_VARIANTS.items() if options[key]]:
        raise click.UsageError(
            f"{given[0]}: {options['config']} has variants of its own. Copy and edit it "
            "(`tgdpo recipes copy`), or give --config a recipe."
        )
    if isinstance(content.get("recipe"), str):
        content["recipe"] = load_recipe(recipe_path(content["recipe"]))
    if not options["trust_remote_code"]:
        require_trust(content, f"Recipe {options['config']}")
    grid = read_grid(content, options["config"])
    if options["quick"]:
        grid = quick_form(grid)
    return read_grid(_overridden(grid, options), options["config"]), path.stem


def _variants(options: Mapping[str, Any], config: str) -> dict[str, Any]:
    """Return one variant for each reward plugin of the command line."""
    if not options["rewards"]:
        raise click.UsageError(
            f"{config} is a recipe: give --reward-plugin NAME..., or an ablation file with "
            "variants."
        )
    args: dict[str, dict[str, str]] = {name: {} for name in options["rewards"]}
    for text in options["reward_args"]:
        key, value = key_value(text, "--reward-arg")
        plugin, _, option = key.rpartition(".")
        if not plugin and len(args) == 1:
            plugin = next(iter(args))
        if plugin not in args:
            raise click.UsageError(
                f"--reward-arg {text}: write {' or '.join(f'{name}.{option}' for name in args)}."
            )
        args[plugin][option] = value
    shared = {
        "transforms": [[transform_entry(text) for text in options["transforms"]]],
        "controls": [transform_entry(text) for text in options["controls"]],
    }
    lists = {
        key: list(options[name])
        for key, name in (
            ("shaping", "shapings"),
            ("alpha", "alphas"),
            ("beta", "betas"),
            ("reward_beta", "reward_betas"),
        )
        if options[name]
    }
    return {
        name: _plain_variant(lists)
        if name == "none"
        else {"reward": [{"plugin": name, "args": args[name]}], **shared, **lists}
        for name in args
    }


def _plain_variant(lists: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain DPO, which knows no shaping, alpha or reward."""
    return {"reward": ["none"], **({"beta": lists["beta"]} if "beta" in lists else {})}


def _overridden(grid: "Grid", options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a grid's content with what the command line says of all cells."""
    from tgdpo_core.recipe.loading import yaml_value

    content: dict[str, Any] = grid.model_dump(exclude_unset=True)
    settings = {
        "model.name_or_path": options["model"],
        "data.path": options["dataset"],
        "data.eval_path": options["eval_dataset"],
    }
    given = {key: value for key, value in settings.items() if value is not None}
    for text in options["overrides"]:
        key, value = key_value(text, "--set")
        given[key] = yaml_value(value, f"--set {text}")
    content["set"] = {**content.get("set", {}), **given}
    if seeds := options["seeds"]:
        content["seeds"] = _seeds(seeds)
    return content


def _seeds(text: str) -> int | list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"--seeds {text}: expected 4, or 4,5,6.") from None
    return numbers if "," in text else numbers[0]
