"""The file of an ablation: short forms, keys that are wrong, the quick form."""

from typing import Any

import pytest

from tgdpo_core.errors import RecipeError
from tgdpo_core.experiments.grid import Grid, Variant, quick_form, read_grid

RECIPE = {"data": {"path": "playground"}}
NAMED = {
    "shaping": [{"name": "linear"}, {"name": "exponential"}],
    "one chain": [[{"name": "rms"}, {"name": "clip"}]],
    "two chains": [[{"name": "rms"}], [{"name": "clip"}]],
}


def grid(**content: Any) -> Grid:
    return read_grid({"recipe": RECIPE, "variants": {"dpo": {}}, **content}, "my.yaml")


def variant(**content: Any) -> Variant:
    return grid(variants={"v": content}).variants["v"]


def refused(**content: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        grid(**content)
    return str(caught.value)


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ({"reward": "random"}, {"reward": [{"plugin": "random"}]}),
        ({"reward": {"plugin": "random"}}, {"reward": [{"plugin": "random"}]}),
        ({"reward": ["a", "b"]}, {"reward": [{"plugin": "a"}, {"plugin": "b"}]}),
        ({"alpha": 0.5}, {"alpha": [0.5]}),
        ({"shaping": "linear"}, {"shaping": [{"name": "linear"}]}),
        ({"shaping": ["linear", "exponential"]}, {"shaping": NAMED["shaping"]}),
        ({"transforms": "rms"}, {"transforms": [[{"name": "rms"}]]}),
        ({"transforms": ["rms", "clip"]}, {"transforms": NAMED["one chain"]}),
        ({"transforms": [["rms"], ["clip"]]}, {"transforms": NAMED["two chains"]}),
        ({"transforms": [[], ["rms"]]}, {"transforms": [[], [{"name": "rms"}]]}),
        ({"controls": "permute"}, {"controls": [{"name": "permute"}]}),
    ],
)
def test_a_short_form_means_the_full_one(short: dict[str, Any], full: dict[str, Any]) -> None:
    assert variant(**short) == variant(**full)
    assert variant(**short) != variant()


def test_an_empty_variant_is_one_cell_without_a_reward() -> None:
    empty = variant()
    assert [entry.plugin for entry in empty.reward] == ["none"]
    assert empty.transforms == variant(transforms=[]).transforms == [[]]
    assert (empty.shaping, empty.alpha, empty.beta, empty.reward_beta) == (None,) * 4


def test_a_number_of_seeds_is_the_first_so_many() -> None:
    assert grid(seeds=3).seeds == [0, 1, 2]
    assert grid(seeds=[3]).seeds == [3]
    assert grid().seeds == [0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"seed": 3}, "seed: unknown key. Did you mean 'seeds'?"),
        (
            {"variants": {"v": {"alfa": 1}}},
            "variants.v.alfa: unknown key. Did you mean 'alpha'?",
        ),
        ({"variants": {"v": {"reward": {"plugin": "a", "arg": {}}}}}, "Did you mean 'args'?"),
        ({"variants": {}}, "variants: Dictionary should have at least 1 item"),
        ({"variants": {"v": {"alpha": []}}}, "variants.v.alpha: Value should have at least 1 item"),
        ({"variants": {"v": {"alpha": float("nan")}}}, "Input should be a finite number"),
        ({"variants": {"v": {"vary": {"loss.beta": []}}}}, "variants.v.vary.loss.beta: List"),
        ({"variants": {"a/b": {}}}, "variants.a/b.[key]: String should match"),
        ({"seeds": 0}, "seeds: Value should have at least 1 item"),
        ({"seeds": True}, "seeds: Input should be a valid list"),
        ({"seeds": [1, 2, 1]}, "seeds: a seed stands twice in [1, 2, 1]"),
        ({"recipe": ["a"]}, "recipe: Input should be a valid dictionary"),
    ],
)
def test_what_does_not_fit_is_named(content: dict[str, Any], message: str) -> None:
    text = refused(**content)
    assert text.startswith("The ablation from my.yaml is not valid:\n")
    assert message in text


def test_everything_wrong_is_said_at_once() -> None:
    text = refused(seed=3, variants={"v": {"alfa": 1}})
    assert "seed: unknown key" in text
    assert "variants.v.alfa: unknown key" in text


def test_the_quick_form_changes_seeds_settings_and_variants() -> None:
    full = grid(
        set={"loss.beta": 0.2, "training.max_steps": 9},
        seeds=4,
        variants={"dpo": {}, "other": {}},
        quick={"seeds": [7], "set": {"training.max_steps": 1}, "variants": ["other"]},
    )
    quick = quick_form(full)
    assert quick.seeds == [7]
    assert quick.set == {"loss.beta": 0.2, "training.max_steps": 1}
    assert list(quick.variants) == ["other"]
    assert list(quick_form(grid(quick={})).variants) == ["dpo"]
    assert quick_form(grid(seeds=4, quick={})).seeds == [0]


def test_a_quick_form_that_is_not_there_or_names_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match="no quick form: give it a section quick, or --seeds"):
        quick_form(grid())
    with pytest.raises(RecipeError, match=r"no variant 'dop'\. There are: dpo\."):
        quick_form(grid(quick={"variants": ["dop"]}))
