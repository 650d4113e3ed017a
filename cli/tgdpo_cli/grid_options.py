"""What the options of ``tgdpo ablate`` say about the grid."""

from collections.abc import Mapping, Sequence
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
    name = path.stem
    if "variants" not in content:
        name = f"{name}-ablation"  # the recipe's own run may lie in runs/NAME
        content = {"recipe": content, "variants": _variants(content, options)}
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
    return read_grid(_overridden(grid, options), options["config"]), name


def _variants(content: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variants of a recipe: its own token reward, or those of the command line."""
    own = _own_rewards(content)
    named = options["rewards"]
    if not named and not own:
        raise click.UsageError(
            f"{options['config']} is a recipe of plain DPO: give --reward-plugin NAME..., or an "
            "ablation file with variants."
        )
    rewards = {
        name: [each for each in own if each["plugin"] == name] or [{"plugin": name, "args": {}}]
        for name in named
    }
    rewards = rewards or {"+".join(each["plugin"] for each in own): own}
    _add_args([entry for entries in rewards.values() for entry in entries], options)
    controls = list(options["controls"]) or ([] if named else _USUAL_CONTROLS)
    shared = {
        "transforms": [[transform_entry(text) for text in options["transforms"]]],
        "controls": [transform_entry(text) for text in controls if text != "none"],
    }
    lists = {key: list(options[name]) for key, name in _LISTS.items() if options[name]}
    return {
        name: _plain_variant(lists) if name == "none" else {"reward": entries, **shared, **lists}
        for name, entries in rewards.items()
    }


# The same values at other places, two constants for them, and noise of their size.
_USUAL_CONTROLS = ["permute", "class-mean", "gaussian"]
_LISTS = {"shaping": "shapings", "alpha": "alphas", "beta": "betas", "reward_beta": "reward_betas"}


def _own_rewards(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the token rewards of a recipe; its other mistakes are found later."""
    entries = content.get("reward")
    found = entries if isinstance(entries, list) else []
    usable = [each for each in found if isinstance(each, Mapping) and each.get("plugin")]
    return [
        {**each, "plugin": str(each["plugin"]), "args": dict(each.get("args") or {})}
        for each in usable
        if each["plugin"] != "none"
    ]


def _add_args(entries: Sequence[dict[str, Any]], options: Mapping[str, Any]) -> None:
    """Set the options of ``--reward-arg`` over those of the recipe."""
    names = [entry["plugin"] for entry in entries]
    for text in options["reward_args"]:
        key, value = key_value(text, "--reward-arg")
        plugin, _, option = key.rpartition(".")
        if not plugin and len(names) == 1:
            plugin = names[0]
        if plugin not in names:
            said = " or ".join(f"{name}.{option}" for name in dict.fromkeys(names))
            raise click.UsageError(f"--reward-arg {text}: write {said}.")
        if names.count(plugin) > 1:
            raise click.UsageError(
                f"--reward-arg {text}: the recipe has {names.count(plugin)} rewards '{plugin}'; "
                "set it there."
            )
        entries[names.index(plugin)]["args"][option] = value


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
