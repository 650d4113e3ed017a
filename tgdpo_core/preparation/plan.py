"""Step 1, Recipe -> Plan: everything a recipe names is found; no row, model or torch is loaded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tgdpo_core.errors import RecipeError
from tgdpo_core.models.paths import resolve_model_path
from tgdpo_core.plugin_api.discovery import BUILT_IN
from tgdpo_core.plugin_api.judges import Judge
from tgdpo_core.plugin_api.losses import Loss
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.plugin_api.rewards import SpecialTokensInText
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.preparation.problems import Problems
from tgdpo_core.recipe.optional_packages import require_packages
from tgdpo_core.recipe.requirements import require_installed, with_used
from tgdpo_core.recipe.schema import LossSection, Recipe
from tgdpo_core.scoring.fitted_transforms import require_stored_where_fitted
from tgdpo_core.scoring.loss_choice import resolve_loss
from tgdpo_core.scoring.sources import (
    RewardSource,
    resolve_shaping,
    source_of_entry,
    validate_options,
)
from tgdpo_core.store.folder import default_store_path


@dataclass(frozen=True)
class Plan:
    """A recipe with everything it names found.

    Attributes:
        recipe: the checked recipe.
        plugins: where names were found.
        model: folder or Hub id of the policy.
        sources: reward sources.
        shaping: the shaping with its name.
        loss: the loss with its name.
        judge: of answers during training, or None.
        store: folder of the store.
        cell: the ablation's name and the cell's with its seed, where the run is one of these.
    """

    recipe: Recipe
    plugins: PluginManager
    model: str
    sources: Sequence[RewardSource]
    shaping: tuple[str, Shaping]
    loss: tuple[str, Loss]
    judge: Judge | None
    store: Path
    cell: tuple[str, str] | None = None


def make_plan(recipe: Recipe, plugins: PluginManager) -> Plan:
    """Return the plan of a recipe.

    Raises:
        TgdpoError: something it names does not exist, or does not fit; all of it at once.
    """
    found: dict[str, Any] = {}
    problems = Problems()
    for name, find in _steps(recipe, plugins).items():
        with problems.collected():
            found[name] = find()
    problems.raise_all()
    return Plan(
        recipe=recipe,
        plugins=plugins,
        model=found["model"],
        sources=[found[f"reward {i}"] for i in range(len(recipe.reward))],
        shaping=found["shaping"],
        loss=found["loss"],
        judge=found["judge"],
        store=store_of(recipe.training.get("store_path")),
    )


def _source(entry: dict[str, Any], plugins: PluginManager) -> RewardSource:
    source = source_of_entry(entry, plugins)
    require_stored_where_fitted(source)
    return source


def _steps(recipe: Recipe, plugins: PluginManager) -> dict[str, Callable[[], Any]]:
    """Return what finds or checks each thing that a recipe names, none of which needs another."""
    section, reference = recipe.model, recipe.reference.name_or_path
    packages = {"lora": bool(section.lora), "four_bits": section.load_in_4bit}
    rewards = {
        f"reward {i}": partial(_source, entry.model_dump(), plugins)
        for i, entry in enumerate(recipe.reward)
    }
    return {
        "swap": lambda: _check_swap(recipe),
        "requires": lambda: require_installed(recipe.requires),
        "packages": lambda: require_packages(recipe.training, **packages),
        "model": lambda: policy_name(recipe, plugins),
        "reference": lambda: reference and resolve_model_path(reference),
        **rewards,
        "shaping": lambda: resolve_shaping(recipe.shaping.name, plugins, recipe.shaping.args),
        "loss": lambda: loss_of(recipe.loss, plugins),
        "judge": lambda: _judge(recipe, plugins) if recipe.judging else None,
    }


def loss_of(section: LossSection, plugins: PluginManager) -> tuple[str, Loss]:
    """Return the loss of a recipe with its name."""
    return resolve_loss(
        section.name,
        plugins,
        section.args,
        label_smoothing=section.label_smoothing,
        simpo_gamma=section.simpo_gamma,
    )


def resolved_recipe(plan: Plan) -> Recipe:
    """Return the recipe that a run records: it names the distributions of its plugins."""
    recipe, find = plan.recipe, plan.plugins.find
    named = [("token-reward", entry.plugin) for entry in recipe.reward]
    named += [("transform", t.name) for entry in recipe.reward for t in entry.transforms]
    named += [("shaping", recipe.shaping.name), ("loss", recipe.loss.name)]
    named += [("judge", recipe.judging.judge)] if recipe.judging else []
    named += [("dataset", p) for p in (recipe.data.path,) if plan.plugins.has("dataset", p)]
    found = [find(kind, name) for kind, name in named]
    used = [
        (item.distribution, item.version)
        for item in found
        if item.distribution != BUILT_IN and not Path(item.distribution).is_absolute()
    ]
    return recipe.model_copy(update={"requires": with_used(recipe.requires, used)})


def store_of(path: str | None) -> Path:
    """Return the folder of the store: the one named, else the usual one."""
    return Path(path).expanduser() if path else default_store_path()


def policy_name(recipe: Recipe, plugins: PluginManager) -> str:
    """Return the folder or Hub id of the policy; a registered data set's name is its model.

    Raises:
        RecipeError: none is given and the data set brings none.
    """
    bundled = registered_model(recipe.model.name_or_path or recipe.data.path, plugins)
    if bundled:
        return bundled
    if recipe.model.name_or_path is None:
        raise RecipeError(
            "model.name_or_path: required (give --model): the data set brings no model of its own."
        )
    return str(resolve_model_path(recipe.model.name_or_path))


def registered_model(name: str, plugins: PluginManager) -> str | None:
    """Return the folder of the model that comes with a registered data set, if it is one."""
    if not plugins.has("dataset", name):
        return None
    bundled: str | None = plugins.find("dataset", name).factory.model
    return bundled


def special_tokens_rule(
    rule: SpecialTokensInText, path: str, plugins: PluginManager
) -> SpecialTokensInText:
    """Return the rule for special tokens in the rows of a data set.

    A data set that brings its own model is written for that model's tokens: they are kept.
    """
    return "keep" if rule == "auto" and registered_model(path, plugins) else rule


def _check_swap(recipe: Recipe) -> None:
    """Refuse swapped responses where columns or labels would still mean the others."""
    is_sft = recipe.loss.name == "sft" and all(e.plugin == "none" for e in recipe.reward)
    if recipe.data.swap and not is_sft:
        raise RecipeError(
            "data.swap: only for fine-tuning on the rejected responses, that is with loss.name sft "
            f"and the reward none; got loss {recipe.loss.name}, reward "
            f"{', '.join(entry.plugin for entry in recipe.reward)}."
        )


def _judge(recipe: Recipe, plugins: PluginManager) -> Judge:
    assert recipe.judging
    if not (recipe.data.eval_path or recipe.judging.prompts):
        raise RecipeError(
            "judging: needs evaluation prompts: give data.eval_path, or judging.prompts."
        )
    found = plugins.find("judge", recipe.judging.judge)
    judge: Judge = found.create(recipe.judging.args)
    if judge.reads == "pairs" and recipe.judging.prompts:
        raise RecipeError(
            f"judging.prompts: judge '{recipe.judging.judge}' reads the pairs of data.eval_path "
            "and has no use for prompts. Leave them out."
        )
    validate_options(str(found), judge.validate)
    return judge
