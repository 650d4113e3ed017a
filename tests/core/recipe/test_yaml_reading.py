"""Recipes as YAML: read as written, or refused; never large, never slow."""

import time

import pytest

from tgdpo_core.errors import RecipeError
from tgdpo_core.recipe.yaml_reading import MOST_CHARACTERS, read_yaml


def bomb(levels: int) -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for i in range(levels):
        ours, before = chr(98 + i), chr(97 + i)
        lines.append(f"{ours}: &{ours} [{', '.join([f'*{before}'] * 9)}]")
    return "\n".join([*lines, f"loss: {{beta: *{chr(97 + levels)}}}"])


@pytest.mark.parametrize("levels", [4, 8, 20])
def test_S7_aliases_that_stand_for_too_much_are_refused_in_no_time(levels: int) -> None:
    start = time.process_time()
    with pytest.raises(RecipeError, match="too large") as caught:
        read_yaml(bomb(levels), "r.yaml")
    assert len(str(caught.value)) < 300
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 60 + "]" * 60, "50 levels"),
        ("{a: " * 30_000, "50 levels"),
        ("x" * (MOST_CHARACTERS + 1), "characters"),
        ("a: &a [*a]", "contains itself"),
        ("a: 1\na: 2", "stands twice"),
        ("a: 012", "octal"),
        ("a: -0_7", "octal"),
        ("a: 1:30", "base 60"),
        ("a: 1:30.5", "base 60"),
        ("a: " + "9" * 5000, "5000 digits"),
        ("a: 2001-99-99", "month"),
        ("a: !!python/object:os.system x", "python/object"),
        ("a: *b", "undefined alias"),
        ("a: 'x", "not valid YAML"),
    ],
    ids=lambda value: value[:20],
)
def test_S7_what_yaml_would_misread_is_refused(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        read_yaml(text, "r.yaml")
    assert len(str(caught.value)) < 900


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6),
        (".5e3", 500.0),
        ("0", 0),
        ("0.05", 0.05),
        ("1_000", 1000),
        ("0x10", 16),
        ("\uff11\uff12", "\uff11\uff12"),  # digits of other scripts are text
        ("\u0661e3", "\u0661e3"),
        ("{a: &x {b: 1}, c: {<<: *x, d: 2}}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("[&x 3, *x]", [3, 3]),
    ],
    ids=str,
)
def test_values_are_what_they_look_like(text: str, value: object) -> None:
    assert read_yaml(text, "r.yaml") == value
