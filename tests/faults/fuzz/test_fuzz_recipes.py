"""S7: whatever a recipe or an option says is what is used, or it is refused."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.fuzz.effort import cases, outcome
from tests.faults.fuzz.mutations import damaged, edited
from tgdpo_core.errors import RecipeError, TgdpoError
from tgdpo_core.recipe.loading import load_recipe, resolve_recipe, to_yaml
from tgdpo_core.recipe.schema import Recipe

CONTENT: dict[str, Any] = {
    "model": {"name_or_path": "base", "dtype": "bfloat16", "lora": {"r": 8}},
    "data": {"path": "pairs.jsonl", "max_length": 512, "max_shares": {"left_out": 0.1}},
    "reward": [
        {
            "plugin": "induced",
            "args": {"model": "runs/dpo"},
            "weight": 0.5,
            "transforms": [{"name": "clip", "args": {"max": 5.0}}],
        }
    ],
    "shaping": {"name": "linear", "args": {"alpha": 0.5}},
    "loss": {"name": "sigmoid", "beta": 0.1},
    "training": {"learning_rate": 1.0e-6, "max_steps": 10, "seed": 3},
    "judging": {"judge": "likelihood", "every_epochs": 2},
    "output_dir": "runs/x",
}
TEXT = yaml.safe_dump(CONTENT, sort_keys=False).encode()
NUMBERS = {
    "loss.beta": lambda recipe: recipe.loss.beta,
    "loss.label_smoothing": lambda recipe: recipe.loss.label_smoothing,
    "data.max_length": lambda recipe: recipe.data.max_length,
    "data.max_shares.left_out": lambda recipe: recipe.data.max_shares.left_out,
    "reward.0.weight": lambda recipe: recipe.reward[0].weight,
    "training.learning_rate": lambda recipe: recipe.training["learning_rate"],
    "training.max_steps": lambda recipe: recipe.training["max_steps"],
    "training.seed": lambda recipe: recipe.training["seed"],
}
DIGITS = st.text("0123456789", min_size=1, max_size=6)
ODD = st.sampled_from(
    [
        *(
            ".nan",
            "-.inf",
            ".inf",
            "nan",
            "inf",
            "1e400",
            "-1e400",
            "1e-400",
            "0",
            "-0",
            "5.",
            ".5",
        ),
        *("٣", "1٣", "½", "²", "1_0", "0x1F", "0b11", "0o17", "017", "1:30", "1:30.5", "+5", "--1"),
        *("1,5", "1.5.2", "1e", "e5", "true", "yes", "on", "null", "~", "''", "'3'", '"0.2"', "{}"),
        *("2026-01-02", "[1]"),
    ]
)


@st.composite
def number_like(draw: st.DrawFn) -> str:
    """Return text that looks like a number, or nearly."""
    if draw(st.booleans()):
        return draw(ODD)
    sign, whole, part = draw(st.sampled_from(["", "-", "+"])), draw(DIGITS), draw(DIGITS)
    exponent = draw(st.sampled_from(["", "e3", "E-2", "e+1", "_0"]))
    return f"{sign}{whole}{draw(st.sampled_from(['', f'.{part}']))}{exponent}"


def meant(text: str) -> float | None:
    """Return the number that Python reads in a text; None if it is none."""
    plain = text.strip("'\"")
    for read in (float, lambda t: float(int(t, 0))):
        try:
            return float(read(plain))
        except ValueError:
            continue
    return None


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], Any]:
    """A function: bytes of a recipe -> the recipe, or the error."""
    path: Path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"

    def call(data: bytes) -> Any:
        path.write_bytes(data)
        return outcome(lambda: resolve_recipe(load_recipe(path)))

    return call


def require_sound(found: Any) -> None:
    """A recipe is written and read as itself and holds no number that is none; or a short error."""
    if isinstance(found, TgdpoError):
        assert isinstance(found, RecipeError)
        assert len(str(found)) < 20_000
        return
    again = resolve_recipe(yaml.safe_load(to_yaml(found)))
    assert again == found
    assert all(math.isfinite(number) for number in numbers_in(found.model_dump()))


def numbers_in(value: Any) -> list[float]:
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return [number for item in items for number in numbers_in(item)]
    return [value] if isinstance(value, float) else []


@cases()
@given(data=damaged(TEXT))
def test_a_damaged_recipe_is_refused_or_means_what_it_says(
    data: bytes, load: Callable[[bytes], Any]
) -> None:
    require_sound(load(data))


@cases(0.3)
@given(content=edited(CONTENT))
def test_a_recipe_with_any_values_is_refused_or_means_what_it_says(
    content: Any, load: Callable[[bytes], Any]
) -> None:
    require_sound(load(yaml.safe_dump(content, allow_unicode=False).encode()))


@cases()
@given(key=st.sampled_from(sorted(NUMBERS)), text=number_like())
def test_a_number_given_by_set_is_that_number_or_refused(key: str, text: str) -> None:
    found = outcome(lambda: resolve_recipe(CONTENT, overrides=[f"{key}={text}"]))
    if not isinstance(found, Recipe):
        return
    value = NUMBERS[key](found)
    if value is not None:  # null is the default
        assert not isinstance(value, bool)
        assert float(value) == meant(text), text


@cases()
@given(
    text=st.text(max_size=20),
    key=st.sampled_from([*NUMBERS, "a", "reward.9.weight", "reward.-1.args", "reward..", "", "."]),
)
def test_any_text_given_by_set_is_refused_or_means_what_it_says(text: str, key: str) -> None:
    require_sound(outcome(lambda: resolve_recipe(CONTENT, overrides=[f"{key}={text}"])))
