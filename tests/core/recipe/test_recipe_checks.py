"""A recipe is checked as a whole: unknown keys, wrong values, YAML's traps."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tgdpo_core.errors import RecipeError
from tgdpo_core.recipe import load_recipe, resolve_recipe
from tgdpo_core.recipe.loading import to_yaml

MINIMAL = {"data": {"path": "pairs.jsonl"}, "output_dir": "runs/x"}


def load_text(folder: Path, text: str) -> dict[str, object]:
    file = folder / "recipe.yaml"
    file.write_text(text)
    return load_recipe(file)


def test_a_minimal_recipe_is_plain_dpo() -> None:
    recipe = resolve_recipe(MINIMAL)
    assert [entry.plugin for entry in recipe.reward] == ["none"]
    assert (recipe.shaping.name, recipe.loss.beta) == ("linear", 0.1)


def test_overrides_reach_any_key() -> None:
    overrides = ["training.learning_rate=5e-7", "reward.0.plugin=random", "reward.0.args.seed=3"]
    recipe = resolve_recipe({**MINIMAL, "reward": [{"plugin": "none"}]}, overrides=overrides)
    assert recipe.training["learning_rate"] == 5e-7
    assert (recipe.reward[0].plugin, recipe.reward[0].args) == ("random", {"seed": 3})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loss.beat=0.2", r"loss.beat: unknown key. Did you mean 'beta'"),
        ("modle.name_or_path=x", r"modle: unknown key. Did you mean 'model'"),
        ("training.learning_rat=1", r"unknown key 'learning_rat'. Did you mean 'learning_rate'"),
        ("training.learning_rate=fast", r"'learning_rate': .*\(got 'fast', expected float\)"),
        ("training.output_dir=x", "decided by the recipe's output_dir"),
        ("training.hub_token=abc", "set HF_TOKEN in the environment"),
        ("loss.beta=0", r"loss.beta: .*greater than 0"),
        ("loss.nmae=dpo", r"loss.nmae: unknown key. Did you mean 'name'"),
        ("loss.beta=true", "loss.beta: expected a number, got true"),
        ("data.max_prompt_length=yes", "data.max_prompt_length: expected a number, got true"),
        ("training.learning_rate=on", "'learning_rate': expected a number, got true"),
        ("engine.tokens_per_rwo=3", r"Did you mean 'tokens_per_row'"),
        ("reward=[{plugin: none, agrs: {}}]", r"reward.0.agrs: unknown key. Did you mean 'args'"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_what_is_allowed(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        resolve_recipe(MINIMAL, overrides=[override])


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(RecipeError, match=r"(?s)data.path: required \(give --dataset\).*loss.beat"):
        resolve_recipe({"loss": {"beat": 1}, "data": {}, "output_dir": "x"})


def test_a_number_like_1e_6_is_a_number(tmp_path: Path) -> None:
    assert load_text(tmp_path, "training: {learning_rate: 1e-6}")["training"] == {
        "learning_rate": 1e-6
    }


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="the key 'beta' stands twice"):
        load_text(tmp_path, "loss:\n  beta: 0.1\n  beta: 0.2\n")


def test_the_resolved_recipe_loads_to_itself(tmp_path: Path) -> None:
    content = {**MINIMAL, "training": {"learning_rate": 1e-6}, "model": {"lora": {"r": 4}}}
    content["reward"] = [{"plugin": "random", "transforms": [{"name": "clip", "max": 2}]}]
    recipe = resolve_recipe(content)
    assert resolve_recipe(load_text(tmp_path, to_yaml(recipe))) == recipe


def test_checking_training_arguments_imports_no_torch() -> None:
    code = (
        "import sys\n"
        "from tgdpo_core.recipe import resolve_recipe\n"
        "resolve_recipe({'data': {'path': 'x'}, 'output_dir': 'y',"
        " 'training': {'learning_rate': 1e-6}})\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["save_strategy", "eval_strategy", "logging_strategy"])
def test_a_bare_no_of_yaml_is_the_strategy_no(name: str) -> None:
    recipe = resolve_recipe({**MINIMAL, "training": yaml.safe_load(f"{name}: no")})
    assert recipe.training[name] == "no"
