"""Everything that is wrong with a recipe is said at once, with where a key belongs."""

from typing import Any

import pytest

from tgdpo_core.errors import PluginError, RecipeError, UsageError
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.preparation.plan import make_plan
from tgdpo_core.preparation.problems import unknown_plugins
from tgdpo_core.recipe import resolve_recipe
from tgdpo_core.recipe.hints import ALIASES, known_keys
from tgdpo_core.recipe.loading import validated
from tgdpo_core.recipe.schema import Recipe
from tgdpo_core.recipe.training_arguments import training_argument_types

BASE: dict[str, Any] = {"data": {"path": "pairs.jsonl"}, "output_dir": "runs/x"}


def said(change: dict[str, Any]) -> str:
    """Return what is said of a recipe."""
    with pytest.raises(RecipeError) as caught:
        resolve_recipe({**BASE, **change})
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"beta": 1}, "beta: unknown key. It is loss.beta."),
        ({"learning_rate": 1}, "learning_rate: unknown key. It is training.learning_rate."),
        ({"lr": 1}, "lr: unknown key. It is training.learning_rate."),
        ({"batch_size": 1}, "It is training.per_device_train_batch_size."),
        ({"warmup_ratio": 0.1}, "It is training.warmup_steps (below 1: a share of all steps)."),
        ({"alpha": 1}, "It is shaping.args.alpha."),
        ({"loss": {"alpha": 1}}, "loss.alpha: unknown key. It is shaping.args.alpha."),
        ({"dataset": "x"}, "It is data.path."),
        ({"cutoff_len": 5}, "It is data.max_length."),
        ({"lora_r": 5}, "It is model.lora.r."),
        ({"ref_model": "x"}, "It is reference.name_or_path."),
        ({"max_new_tokens": 5}, "It is judging.max_new_tokens."),
        ({"training": {"lr": 1}}, "training: unknown key 'lr'. It is training.learning_rate."),
        ({"training": {"beta": 1}}, "training: unknown key 'beta'. It is loss.beta."),
        ({"model": {"learning_rate": 1}}, "It is training.learning_rate."),
        ({"los": {}}, "los: unknown key. Did you mean 'loss'?"),
    ],
)
def test_a_key_in_the_wrong_place_is_shown_its_place(change: dict[str, Any], line: str) -> None:
    assert line in said(change)


def test_every_place_that_is_named_exists() -> None:
    known = {*known_keys(), *Recipe.model_fields, "model.lora", "shaping.args"}
    for place in set(ALIASES.values()):
        first = place.partition(" ")[0].rstrip(":")
        assert first in known or first.startswith(("reward", "shaping.args.", "judging")), place
    assert not set(ALIASES) & set(training_argument_types())


def test_all_problems_are_lines_of_one_message() -> None:
    text = said(
        {
            "los": {},
            "training": {"learning_rat": 1, "num_train_epochs": "many", "do_eval": True},
            "loss": {"beta": -1},
        }
    )
    lines = text.splitlines()[1:]
    assert len(lines) == 5
    for part in ("los:", "'learning_rat'", "'num_train_epochs'", "'do_eval'", "loss.beta"):
        assert sum(part in line for line in lines) == 1, part


def test_unknown_plugins_are_said_with_the_other_problems() -> None:
    plugins = PluginManager()
    content = {
        **BASE,
        "los": {},
        "reward": [{"plugin": "indced", "transforms": [{"name": "rmss"}]}],
        "shaping": {"name": "linea"},
    }
    with pytest.raises(RecipeError) as caught:
        resolve_recipe(content, more=lambda merged: unknown_plugins(merged, plugins))
    for part in ("los:", "'indced'", "'rmss'", "'linea'"):
        assert part in str(caught.value)


@pytest.mark.parametrize("reward", [None, 3, "x", [3], [{"plugin": 3}], {"plugin": "none"}])
def test_a_reward_of_any_form_is_looked_at_without_a_fall(reward: Any) -> None:
    assert unknown_plugins({"reward": reward, "shaping": [], "loss": "x"}, PluginManager()) == []


def test_a_plan_says_everything_that_it_does_not_find() -> None:
    recipe = resolve_recipe(
        {
            **BASE,
            "model": {"name_or_path": "./nosuch"},
            "reward": [{"plugin": "indced"}, {"plugin": "random", "args": {"sed": 1}}],
            "loss": {"name": "sigmoi"},
        }
    )
    with pytest.raises(UsageError) as caught:
        make_plan(recipe, PluginManager())
    text = str(caught.value)
    assert text.startswith("4 problems:")
    for part in ("./nosuch", "'indced'", "'sed'", "'sigmoi'"):
        assert part in text


def test_one_problem_is_the_error_itself() -> None:
    recipe = resolve_recipe({**BASE, "model": {"name_or_path": "a/b"}, "loss": {"name": "sigmoi"}})
    with pytest.raises(PluginError, match=r"^Unknown loss 'sigmoi'"):
        make_plan(recipe, PluginManager())


def test_in_an_ablation_the_hint_is_of_its_form() -> None:
    from tgdpo_core.experiments.grid import Grid

    content = {"recipe": {}, "variants": {"v": {"learning_rate": 1}}, "model": {}}
    with pytest.raises(RecipeError) as caught:
        validated(Grid, content, "The ablation")
    assert "It is `set: {training.learning_rate: ..}`." in str(caught.value)
    assert "model: unknown key. It belongs below `recipe`." in str(caught.value)
