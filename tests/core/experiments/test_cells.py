"""From a grid to its cells: products, names, the plain DPO of each, controls."""

from typing import Any

import pytest

from tgdpo_core.errors import RecipeError
from tgdpo_core.experiments.cells import GridCell, grid_cells
from tgdpo_core.experiments.grid import read_grid

RECIPE = {
    "data": {"path": "playground"},
    "shaping": {"name": "linear", "args": {"alpha": 0.5}},
    "loss": {"beta": 0.1},
}


def cells(variants: dict[str, Any], **content: Any) -> dict[str, GridCell]:
    """Return the cells of a grid by name, in its order."""
    grid = read_grid({"recipe": RECIPE, "variants": variants, **content}, "my.yaml")
    return {cell.name: cell for cell in grid_cells(grid)}


def weights(cell: GridCell) -> tuple[str, dict[str, Any], str]:
    """Return the reward, the options and the name of the shaping."""
    recipe = cell.recipe
    return recipe.reward[0].plugin, recipe.shaping.args, recipe.shaping.name


def test_there_is_always_a_plain_dpo_with_alpha_0() -> None:
    found = cells({"r": {"reward": "random"}})
    assert list(found) == ["dpo", "r"]
    assert weights(found["dpo"]) == ("none", {}, "linear")
    assert found["dpo"].control
    assert found["dpo"].baseline == found["r"].baseline == "dpo"
    assert weights(found["r"]) == ("random", {"alpha": 0.5}, "linear")
    assert not found["r"].control


def test_a_plain_variant_is_the_baseline_and_gives_its_name() -> None:
    found = cells({"r": {"reward": "random", "beta": [0.1, 0.5]}, "plain": {}})
    assert list(found) == ["plain,beta=0.5", "r,beta=0.1", "r,beta=0.5", "plain"]
    assert not found["plain"].control
    assert found["plain,beta=0.5"].control
    assert found["plain,beta=0.5"].variant == "plain"


def test_alpha_0_is_the_control_and_no_cell_of_its_own() -> None:
    found = cells({"r": {"reward": "random", "alpha": [0, 0.5, 2]}})
    assert list(found) == ["dpo", "r,alpha=0.5", "r,alpha=2"]
    assert [cell.recipe.shaping.args.get("alpha") for cell in found.values()] == [None, 0.5, 2.0]
    assert list(cells({"r": {"reward": "random", "alpha": 0}})) == ["dpo"]


@pytest.mark.parametrize("option", ["shift", "alpha_chosen", "alpha_rejected"])
@pytest.mark.parametrize("where", ["recipe", "set", "vary", "shaping"])
def test_alpha_0_beside_another_weight_is_a_cell(option: str, where: str) -> None:
    variant: dict[str, Any] = {"reward": "random", "alpha": [0, 1]}
    content: dict[str, Any] = {}
    key = f"shaping.args.{option}"
    if where == "recipe":
        content["set"] = {key: 0.5}
    elif where == "shaping":
        variant["shaping"] = {"name": "linear", "args": {option: 0.5}}
    else:
        variant[where] = {key: 0.5 if where == "set" else [0.5]}
    assert list(cells({"r": variant}, **content)) == ["dpo", "r,alpha=0", "r,alpha=1"]


def test_every_combination_is_a_cell_named_by_what_has_several_values() -> None:
    found = cells(
        {
            "r": {
                "reward": "random",
                "transforms": [[], ["rms"], ["rms", {"name": "clip", "max": 1.0}]],
                "shaping": ["linear", {"name": "exponential", "args": {"limit": 2}}],
                "alpha": [1],
                "beta": [0.1],
                "vary": {"training.learning_rate": [1e-3, 1e-4]},
            }
        }
    )
    ours = [name for name in found if name.startswith("r,")]
    assert len(ours) == 3 * 2 * 2
    name = "r,transforms=rms+clip+max=1,learning_rate=0.0001,shaping=exponential+limit=2"
    assert name in ours
    assert ours[0] == "r,transforms=none,learning_rate=0.001,shaping=linear"
    recipe = found[name].recipe
    assert [t.name for t in recipe.reward[0].transforms] == ["rms", "clip"]
    assert recipe.reward[0].transforms[1].options == {"max": 1.0}
    assert recipe.shaping.args == {"limit": 2, "alpha": 1.0}
    assert recipe.training["learning_rate"] == 1e-4


def test_transforms_that_differ_in_options_only_are_two_cells() -> None:
    chains = [[{"name": "clip", "max": bound}] for bound in (1, 5)]
    found = cells({"r": {"reward": "random", "transforms": chains}})
    assert list(found)[1:] == ["r,transforms=clip+max=1", "r,transforms=clip+max=5"]


def test_the_chain_of_a_variant_follows_that_of_each_reward() -> None:
    rewards = [{"plugin": "random", "transforms": [{"name": "clip"}]}, {"plugin": "column"}]
    found = cells({"sum": {"reward": rewards, "transforms": "rms", "reward_beta": 0.3}})
    first, second = found["sum"].recipe.reward
    assert [t.name for t in first.transforms] == ["clip", "rms"]
    assert [t.name for t in second.transforms] == ["rms"]
    assert (first.args, second.args) == ({"beta": 0.3}, {})


def test_a_cell_is_compared_with_plain_dpo_that_shares_everything_else() -> None:
    found = cells(
        {
            "r": {"reward": "random", "beta": [0.1, 0.5]},
            "long": {
                "reward": "random",
                "set": {"training.num_train_epochs": 9, "shaping.args.alpha": 3},
            },
        }
    )
    baselines = {name: cell.baseline for name, cell in found.items()}
    assert baselines == {
        "dpo": "dpo",
        "dpo,beta=0.5": "dpo",
        "dpo,num_train_epochs=9,alpha=3": "dpo",
        "r,beta=0.1": "dpo",
        "r,beta=0.5": "dpo,beta=0.5",
        "long": "dpo,num_train_epochs=9,alpha=3",
    }
    assert found["dpo,beta=0.5"].recipe.loss.beta == 0.5
    assert found["dpo,num_train_epochs=9,alpha=3"].recipe.training == {"num_train_epochs": 9}


def test_plain_dpo_is_compared_with_plain_dpo_as_the_recipe_has_it() -> None:
    found = cells({"dpo": {"beta": [0.5, 0.1]}, "long": {"set": {"training.max_steps": 9}}})
    assert {name: cell.baseline for name, cell in found.items()} == {
        "dpo,beta=0.5": "dpo,beta=0.1",
        "dpo,beta=0.1": "dpo,beta=0.1",
        "long": "dpo,beta=0.1",
    }
    assert not any(cell.control for cell in found.values())


@pytest.mark.parametrize("variant", [{"reward": "random"}, {"set": {"training.max_steps": 1}}])
def test_the_plain_dpo_takes_no_name_that_a_variant_has(variant: dict[str, Any]) -> None:
    found = cells({"dpo": variant})
    assert found["dpo"].baseline in found
    assert weights(found["plain-dpo"])[0] == "none"
    assert found["plain-dpo"].recipe.training == {}


def test_set_of_the_grid_holds_for_all_and_that_of_a_variant_over_it() -> None:
    found = cells(
        {"dpo": {}, "other": {"set": {"loss.beta": 0.7}}},
        set={"loss.beta": 0.3, "training.max_steps": 5},
    )
    assert [cell.recipe.loss.beta for cell in found.values()] == [0.3, 0.7]
    assert {cell.recipe.training["max_steps"] for cell in found.values()} == {5}


def test_a_control_repeats_every_cell_with_a_transform_at_the_end() -> None:
    found = cells(
        {
            "r": {
                "reward": "random",
                "transforms": "rms",
                "alpha": [0, 1, 2],
                "controls": ["permute", {"name": "gaussian", "seed": 1}],
            }
        }
    )
    variants = ("r", "r+permute", "r+gaussian+seed=1")
    assert list(found) == ["dpo", *(f"{v},alpha={alpha}" for alpha in (1, 2) for v in variants)]
    control = found["r+gaussian+seed=1,alpha=2"]
    assert (control.variant, control.control, control.baseline) == (
        "r+gaussian+seed=1",
        True,
        "dpo",
    )
    chain = control.recipe.reward[0].transforms
    assert [(t.name, t.options) for t in chain] == [("rms", {}), ("gaussian", {"seed": 1})]
    assert control.recipe.shaping.args == {"alpha": 2.0}


def test_settings_are_what_varies_or_is_central() -> None:
    found = cells(
        {
            "r": {
                "reward": {"plugin": "induced", "args": {"model": "m", "beta": 0.2}},
                "transforms": ["rms", {"name": "clip", "max": 2}],
                "shaping": {"name": "linear", "args": {"shift": 1}},
                "alpha": 0.5,
                "vary": {"training.learning_rate": [1e-3]},
            }
        }
    )
    assert found["r"].settings == {
        "reward": "induced",
        "transforms": "rms, clip+max=2",
        "shaping": "linear+shift=1",
        "alpha": 0.5,
        "beta": 0.1,
        "reward_beta": 0.2,
        "training.learning_rate": 1e-3,
    }
    plain = found["dpo,learning_rate=0.001"]
    assert plain.settings == {"reward": "none", "beta": 0.1, "training.learning_rate": 1e-3}


def test_folders_hold_no_separators() -> None:
    found = cells({"r": {"reward": "random", "vary": {"model.name_or_path": ["a/b c", "d"]}}})
    assert found["r,name_or_path=a/b c"].folder == "cells/r,name_or_path=a_b_c"


@pytest.mark.parametrize(
    ("variants", "first", "second"),
    [
        ({"a": {"reward": "random"}, "b": {"reward": "random"}}, "a", "b"),
        ({"dpo": {}, "b": {"beta": 0.1}}, "dpo", "b"),
        (
            {"r": {"reward": "random", "vary": {"model.name_or_path": ["a/b", "a:b"]}}},
            "dpo,name_or_path=a/b",
            "dpo,name_or_path=a:b",
        ),
    ],
)
def test_equal_cells_and_equal_folders_are_refused(
    variants: dict[str, Any], first: str, second: str
) -> None:
    with pytest.raises(RecipeError, match="are the same") as caught:
        cells(variants)
    assert f"The cells '{first}' and '{second}'" in str(caught.value)


def test_a_recipe_that_is_not_valid_names_its_cell() -> None:
    with pytest.raises(RecipeError, match=r"the cell long is not valid:\n  loss\.betta: unknown"):
        cells({"long": {"set": {"loss.betta": 1}}})


def test_texts_of_a_reward_name_the_values_of_their_cell() -> None:
    reward = {"plugin": "induced", "args": {"model": "{run:dpo,beta={beta}}/{seed}/{alpha}"}}
    found = cells(
        {"dpo": {"beta": [0.1, 1.0]}, "r": {"reward": reward, "beta": [0.1, 1.0], "alpha": 2}}
    )
    models = {n: c.recipe.reward[0].args["model"] for n, c in found.items() if n.startswith("r,")}
    assert models == {
        "r,beta=0.1": "{run:dpo,beta=0.1}/{seed}/2",
        "r,beta=1": "{run:dpo,beta=1}/{seed}/2",
    }
