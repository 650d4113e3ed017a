"""The options that make up a recipe, shared by the commands that read one."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli import completion
from tgdpo_cli.option_sets import option_set

if TYPE_CHECKING:
    from tgdpo_cli.main import Session
    from tgdpo_core.recipe import Recipe

_OPTIONS = [
    click.option(
        "--config",
        help="Recipe: a YAML file, or a name of `tgdpo recipes list`.",
        shell_complete=completion.recipes,
    ),
    click.option(
        "--model",
        help="Policy: Hub id, folder, or run folder.",
        shell_complete=completion.models,
    ),
    click.option(
        "--reference",
        help="Reference model; default: the policy before training.",
        shell_complete=completion.models,
    ),
    click.option(
        "--dataset",
        help="Preference pairs: Hub id, file, folder, or registered name.",
        shell_complete=completion.plugin_names("dataset", files=True),
    ),
    click.option(
        "--eval-dataset",
        help="Pairs to evaluate on during training.",
        shell_complete=completion.plugin_names("dataset", files=True),
    ),
    click.option(
        "--reward-plugin",
        "reward_plugins",
        multiple=True,
        metavar="NAME[=WEIGHT]",
        shell_complete=completion.plugin_names("token-reward"),
        help="Source of token rewards; 'none' is plain DPO. Repeated: their weighted sum.",
    ),
    click.option(
        "--reward-arg",
        "reward_args",
        multiple=True,
        metavar="KEY=VALUE",
        shell_complete=completion.option_keys("token-reward", "reward_plugins"),
        help="Option of the reward plugin (NAME.KEY=VALUE where there are several).",
    ),
    click.option(
        "--reward-transform",
        "reward_transforms",
        multiple=True,
        metavar="NAME[:KEY=VALUE,...]",
        shell_complete=completion.plugin_names("transform"),
        help="Transform of the token rewards, applied in order.",
    ),
    click.option(
        "--shaping",
        metavar="NAME",
        help="How rewards become weights.",
        shell_complete=completion.plugin_names("shaping"),
    ),
    click.option(
        "--shaping-arg",
        "shaping_args",
        multiple=True,
        metavar="KEY=VALUE",
        help="Its option.",
        shell_complete=completion.option_keys("shaping", "shaping"),
    ),
    click.option("--beta", type=float, help="Strength of the tie to the reference."),
    click.option("--output-dir", help="The run folder.", shell_complete=completion.runs),
    click.option(
        "--trust-remote-code",
        is_flag=True,
        help="Run code that model repositories bring, where the recipe asks for it.",
    ),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        shell_complete=completion.recipe_keys,
        help="Any key of the recipe, e.g. training.learning_rate=5e-7.",
    ),
]


recipe_options = option_set(_OPTIONS)
"""Adds the recipe options to a command."""


def recipe_from(
    session: "Session", values: Mapping[str, Any], *, needs_output: bool = True
) -> "Recipe":
    """Return the checked recipe of a command's option values.

    Raises:
        RecipeError: everything that is wrong with it, unknown plugins included.
    """
    from tgdpo_cli.shipped_recipes import recipe_path
    from tgdpo_core.preparation.problems import unknown_plugins
    from tgdpo_core.recipe import load_recipe, resolve_recipe
    from tgdpo_core.recipe.trust import require_trust

    config = values["config"]
    content = load_recipe(recipe_path(config)) if config else {}
    if not values.get("trust_remote_code"):
        require_trust(content, f"Recipe {config}")
    settings = {
        "model.name_or_path": values["model"],
        "reference.name_or_path": values["reference"],
        "data.path": values["dataset"],
        "data.eval_path": values["eval_dataset"],
        "loss.beta": values["beta"],
        "output_dir": values["output_dir"],
        "model.trust_remote_code": values.get("trust_remote_code") or None,
        **_reward_settings(content, values),
        **_shaping_settings(content, values),
    }
    if not needs_output and not values["output_dir"] and "output_dir" not in content:
        settings["output_dir"] = "runs/unnamed"
    return resolve_recipe(
        content,
        overrides=values["overrides"],
        settings=settings,
        source=config or "the command line",
        more=lambda merged: unknown_plugins(merged, session.plugins),
    )


def _reward_settings(content: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    entries = _reward_entries(content, values["reward_plugins"])
    for text in values["reward_args"]:
        key, value = key_value(text, "--reward-arg")
        _entry_of(entries, key)["args"][key.rpartition(".")[2]] = value
    transforms = [transform_entry(text) for text in values["reward_transforms"]]
    if transforms:
        for entry in entries:
            entry["transforms"] = transforms
    given = values["reward_plugins"] or values["reward_args"] or transforms
    return {"reward": entries} if given else {}


def _reward_entries(content: Mapping[str, Any], plugins: Sequence[str]) -> list[dict[str, Any]]:
    """Return the entries to change: those named on the command line, else the recipe's."""
    if not plugins:
        recipe_entries = content.get("reward") or [{"plugin": "none"}]
        return [{**entry, "args": dict(entry.get("args") or {})} for entry in recipe_entries]
    entries = []
    for text in plugins:
        name, equals, weight = text.partition("=")
        entry: dict[str, Any] = {"plugin": name, "args": {}}
        if equals:
            entry["weight"] = weight
        entries.append(entry)
    return entries


def _entry_of(entries: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
    if len(entries) == 1:
        return entries[0]
    plugin = key.rpartition(".")[0]
    for entry in entries:
        if entry["plugin"] == plugin:
            return entry
    names = " or ".join(f"{entry['plugin']}.{key.rpartition('.')[2]}" for entry in entries)
    raise click.UsageError(f"--reward-arg {key}: several reward plugins; write {names}.")


def transform_entry(text: str) -> dict[str, Any]:
    """Return the recipe entry of ``NAME[:KEY=VALUE,...]``."""
    name, _, options = text.partition(":")
    pairs = [key_value(part, "--reward-transform") for part in options.split(",") if part]
    return {"name": name, **dict(pairs)}


def _shaping_settings(content: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A shaping named on the command line starts from its defaults, not from another's options."""
    settings: dict[str, Any] = {}
    kept = (content.get("shaping") or {}).get("args") or {}
    if values["shaping"]:
        settings["shaping.name"] = values["shaping"]
        kept = {}
    args = dict(key_value(text, "--shaping-arg") for text in values["shaping_args"])
    if args or values["shaping"]:
        settings["shaping.args"] = {**kept, **args}
    return settings


def key_value(text: str, option: str) -> tuple[str, str]:
    """Return the two parts of ``KEY=VALUE``; a usage error names the option."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"{option} {text}: expected KEY=VALUE.")
    return key.strip(), value
