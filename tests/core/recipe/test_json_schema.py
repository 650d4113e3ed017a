"""The JSON Schema of recipes: what validates here validates there, and what is refused is not."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tgdpo_core.recipe import load_recipe, resolve_recipe
from tgdpo_core.recipe.json_schema import recipe_schema
from tgdpo_core.recipe.loading import to_yaml
from tgdpo_core.recipe.yaml_reading import read_yaml

RECIPES = sorted((Path(__file__).parents[3] / "cli" / "tgdpo_cli" / "recipes").glob("*.yaml"))
SCHEMA = recipe_schema()


def problems(content: Any) -> list[str]:
    """Return where a content breaks the schema."""
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [error.json_path for error in validator.iter_errors(content)]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_fits_as_written_and_as_resolved(path: Path) -> None:
    content = load_recipe(path)
    assert problems(content) == []
    assert problems(read_yaml(to_yaml(resolve_recipe(content)), str(path))) == []


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ({"los": {"beta": 1}}, "$"),
        ({"loss": {"betta": 1}}, "$.loss"),
        ({"loss": {"beta": 0}}, "$.loss.beta"),
        ({"training": {"learning_rat": 1}}, "$.training"),
        ({"training": {"learning_rate": "fast"}}, "$.training.learning_rate"),
        ({"training": {"adam_beta1": 1.0}}, "$.training.adam_beta1"),
        ({"training": {"eval_strategy": "stpes"}}, "$.training.eval_strategy"),
        ({"training": {"deepspeed": "x.json"}}, "$.training"),
        ({"reward": []}, "$.reward"),
    ],
)
def test_what_a_recipe_refuses_breaks_the_schema(section: dict[str, Any], place: str) -> None:
    base: dict[str, Any] = {"data": {"path": "pairs.jsonl"}, "output_dir": "runs/x"}
    assert problems(base) == []
    assert problems({**base, **section}) == [place]


def test_several_files_are_a_list_of_paths() -> None:
    data = {"path": ["a.jsonl", "b.jsonl"]}
    assert problems({"data": data, "output_dir": "runs/x"}) == []


def test_every_key_says_what_it_is_for() -> None:
    sections = [d["properties"] for d in SCHEMA["$defs"].values() if "properties" in d]
    keys = [field for section in sections for field in section.values()]
    keys += SCHEMA["properties"]["training"]["properties"].values()
    assert all(field.get("description") or "$ref" in field for field in keys)
