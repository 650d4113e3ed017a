"""What an ablation has to do: placeholders, what waits for what, shared scoring, early errors."""

import json
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.errors import PluginError, RecipeError
from tgdpo_core.experiments.grid import read_grid
from tgdpo_core.experiments.planning import plan_ablation
from tgdpo_core.experiments.tasks import Ablation, CellRun
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.recipe.loading import to_yaml

RECIPE: dict[str, Any] = {
    "model": {"name_or_path": "policy"},
    "data": {"path": "pairs.jsonl"},
    "loss": {"beta": 0.1},
}
INDUCED = {"plugin": "induced", "args": {"model": "{run:dpo}"}}
ONLINE = '''
from tgdpo_core import TokenReward, hookimpl


class Online(TokenReward):
    """Scored at every step."""

    dynamic = True

    def score(self, batch):
        return [[0.0] * len(example.response_ids) for example in batch]


@hookimpl
def register_token_rewards(register):
    register("online", Online)
'''


@pytest.fixture(scope="module")
def plugins() -> PluginManager:
    return PluginManager()


@pytest.fixture
def plan(tmp_path: Path, plugins: PluginManager) -> Any:
    """A function that plans the ablation of some variants."""

    def call(variants: dict[str, Any], recipe: Any = RECIPE, **content: Any) -> Ablation:
        grid = read_grid({"recipe": recipe, "variants": variants, **content}, "my.yaml")
        return plan_ablation(grid, tmp_path / "out", plugins)

    return call


def by_key(ablation: Ablation) -> dict[str, CellRun]:
    return {run.key: run for run in ablation.runs}


def needs(run: CellRun) -> set[str]:
    """Return the keys of the runs and preparations that a run waits for."""
    return {key for key in run.needs if not key.startswith("score ")}


def test_a_fitted_transform_of_rewards_that_change_is_refused_before_anything_runs(
    plan: Any,
) -> None:
    with pytest.raises(PluginError, match=r"'rms'.*before training.*change at every step"):
        plan({"c": {"reward": "confidence", "transforms": ["rms"]}})
    plan({"c": {"reward": "confidence", "transforms": ["flip"]}})


def test_every_cell_is_a_run_with_every_seed(plan: Any, tmp_path: Path) -> None:
    ablation = plan({"r": {"reward": "random", "beta": [0.1, 0.5]}}, seeds=[4, 7])
    names = ["dpo", "dpo,beta=0.5", "r,beta=0.1", "r,beta=0.5"]
    assert [run.key for run in ablation.runs] == [
        f"{name} (seed {seed})" for name in names for seed in (4, 7)
    ]
    run = by_key(ablation)["r,beta=0.5 (seed 7)"]
    assert run.folder == tmp_path / "out" / "cells" / "r,beta=0.5" / "seed-7"
    assert run.recipe.output_dir == str(run.folder)
    assert run.recipe.training["seed"] == 7
    assert run.recipe.loss.beta == 0.5
    assert run.cell.folder == "cells/r,beta=0.5/seed-7"
    assert (run.cell.name, run.cell.seed, run.cell.baseline) == ("r,beta=0.5", 7, "dpo,beta=0.5")
    assert ablation.cells == [run.cell for run in ablation.runs]


def test_seed_stands_in_every_text_options_of_plugins_included(plan: Any) -> None:
    recipe = {**RECIPE, "data": {"path": "world-{seed}/a{seed}.jsonl"}}
    ablation = plan(
        {"r": {"reward": {"plugin": "random", "args": {"seed": "{seed}"}}}}, recipe, seeds=2
    )
    run = by_key(ablation)["r (seed 1)"]
    assert run.recipe.data.path == "world-1/a1.jsonl"
    assert run.recipe.reward[0].args == {"seed": "1"}


def test_a_run_that_reads_another_waits_for_that_of_its_seed(plan: Any, tmp_path: Path) -> None:
    ablation = plan(
        {
            "dpo": {"beta": [0.1, 0.5]},
            "again": {"reward": {"plugin": "induced", "args": {"model": "{run:dpo,beta=0.5}"}}},
        },
        seeds=2,
    )
    run = by_key(ablation)["again (seed 1)"]
    assert needs(run) == {"dpo,beta=0.5 (seed 1)"}
    model = tmp_path / "out" / "cells" / "dpo,beta=0.5" / "seed-1"
    assert run.recipe.reward[0].args["model"] == str(model)
    assert needs(by_key(ablation)["dpo,beta=0.1 (seed 1)"]) == set()


def test_a_run_may_go_on_from_the_model_of_another(plan: Any) -> None:
    ablation = plan(
        {"dpo": {}, "second": {"reward": "random", "set": {"model.name_or_path": "{run:dpo}"}}}
    )
    assert needs(by_key(ablation)["second (seed 0)"]) == {"dpo (seed 0)"}
    assert needs(by_key(ablation)["dpo,name_or_path={run:dpo} (seed 0)"]) == {"dpo (seed 0)"}


def test_a_preparation_is_made_once_or_once_a_seed(plan: Any, tmp_path: Path) -> None:
    induced = {
        "plugin": "induced",
        "args": {"model": "{prepared:prm}", "reference": "{prepared:sft}"},
    }
    ablation = plan(
        {"r": {"reward": induced}},
        seeds=2,
        prepare={
            "sft": "fit --data 'my pairs'",
            "prm": "fit-prm --from {prepared:sft} --seed {seed}",
        },
    )
    out = tmp_path / "out" / "prepared"
    sft, first, second = ablation.preparations
    assert (sft.key, sft.folder, sft.needs) == ("prepare sft", out / "sft", frozenset())
    assert sft.command == ["fit", "--data", "my pairs", "--output", str(out / "sft")]
    assert second.key == "prepare prm (seed 1)"
    assert second.needs == {"prepare sft"}
    folder = out / "prm" / "seed-1"
    assert list(second.command) == [
        "fit-prm",
        "--from",
        str(out / "sft"),
        "--seed",
        "1",
        "--output",
        str(folder),
    ]
    assert first.folder == out / "prm" / "seed-0"
    run = by_key(ablation)["r (seed 1)"]
    assert needs(run) == {"prepare sft", "prepare prm (seed 1)"}
    assert run.recipe.reward[0].args == {"model": str(folder), "reference": str(out / "sft")}


def test_a_preparation_reads_what_all_cells_have(plan: Any) -> None:
    recipe = {**RECIPE, "model": {"name_or_path": "my models/policy"}}
    prepare = {"pairs": "pairs --model {recipe:model.name_or_path} --seed {seed}"}
    shared = {"recipe": recipe, "prepare": prepare, "seeds": 2}
    ablation = plan({"r": {"reward": "random"}}, set={"data.path": "{prepared:pairs}"}, **shared)
    assert ablation.preparations[1].command[:5] == [
        *("pairs", "--model", "my models/policy", "--seed", "1")
    ]
    changed = plan(
        {"r": {"reward": "random"}},
        set={"model.name_or_path": "{prepared:base}/m"},
        **{**shared, "prepare": {**prepare, "base": "make --seed {seed}"}},
    )
    pairs = next(p for p in changed.preparations if p.key == "prepare pairs (seed 1)")
    assert pairs.needs == {"prepare base (seed 1)"}


@pytest.mark.parametrize("key", ["data.nothing", "model", "loss.beta.x"])
def test_a_preparation_cannot_read_what_the_recipe_does_not_set(plan: Any, key: str) -> None:
    with pytest.raises(RecipeError, match=f"recipe:{key}.*--set {key}=VALUE"):
        plan({"r": {"reward": "random"}}, prepare={"x": f"make {{recipe:{key}}}"})


def test_what_reads_a_preparation_of_a_seed_is_one_of_that_seed(plan: Any, tmp_path: Path) -> None:
    prepare = {"world": "make --seed {seed}", "prm": "fit --from {prepared:world}", "all": "fit"}
    induced = {"plugin": "induced", "args": {"model": "{prepared:prm}"}}
    ablation = plan({"r": {"reward": induced}}, seeds=2, prepare=prepare)
    keys = [task.key for task in ablation.preparations]
    assert keys[2:] == ["prepare prm (seed 0)", "prepare prm (seed 1)", "prepare all"]
    prm = ablation.preparations[3]
    assert prm.needs == {"prepare world (seed 1)"}
    assert str(tmp_path / "out" / "prepared" / "world" / "seed-1") in prm.command


def test_only_what_the_missing_runs_read_is_prepared(plan: Any) -> None:
    prepare = {"world": "make --seed {seed}", "prm": "fit --from {prepared:world}", "all": "fit"}
    induced = {"plugin": "induced", "args": {"model": "{prepared:prm}"}}
    ablation = plan({"dpo": {}, "r": {"reward": induced}}, seeds=2, prepare=prepare)
    runs = by_key(ablation)

    def needed(*keys: str) -> list[str]:
        return [task.key for task in ablation.needed_preparations([runs[key] for key in keys])]

    assert needed("dpo (seed 0)") == []
    assert needed("dpo (seed 0)", "r (seed 1)") == [
        "prepare world (seed 1)",
        "prepare prm (seed 1)",
    ]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("{run:dop}", r"{run:dop} names no cell\. Did you mean 'dpo'\? Available: dpo, r\."),
        ("{prepared:pmr}", r"{prepared:pmr} names no preparation\. Did you mean 'prm'\?"),
    ],
)
def test_a_placeholder_that_names_nothing_is_refused(plan: Any, model: str, message: str) -> None:
    reward = {"plugin": "induced", "args": {"model": model}}
    with pytest.raises(RecipeError, match=f"^the cell r: {message}"):
        plan({"r": {"reward": reward}}, prepare={"prm": "fit"})


def test_a_command_that_cannot_be_split_is_refused(plan: Any) -> None:
    with pytest.raises(RecipeError, match=r"^prepare\.prm: No closing quotation in \"fit 'a\"\."):
        plan({"dpo": {}}, prepare={"prm": "fit 'a"})


@pytest.mark.parametrize(
    ("variants", "prepare", "waiting"),
    [
        ({"a": "{run:b}", "b": "{run:a}"}, {}, "a (seed 0), b (seed 0)"),
        ({"a": "{run:a}"}, {}, "a (seed 0)"),
        ({"a": "{prepared:x}"}, {"x": "fit {run:a}"}, "a (seed 0), prepare x (seed 0)"),
        ({"a": "m"}, {"x": "fit {prepared:y}", "y": "fit {prepared:x}"}, "prepare x, prepare y"),
    ],
)
def test_tasks_that_wait_for_each_other_are_refused(
    plan: Any, variants: dict[str, str], prepare: dict[str, str], waiting: str
) -> None:
    cells = {
        name: {"reward": {"plugin": "induced", "args": {"model": model}}}
        for name, model in variants.items()
    }
    with pytest.raises(RecipeError) as caught:
        plan(cells, prepare=prepare)
    assert str(caught.value).startswith(f"These wait for each other: {waiting}. Look at")


# -- shared scoring -------------------------------------------------------------------------------


def shared(ablation: Ablation) -> list[str]:
    return [task.label for task in ablation.shared_scoring(ablation.runs)]


def test_scoring_that_two_runs_share_is_a_task_of_its_own(plan: Any) -> None:
    """One reference for all; the induced reward belongs to one seed, random to both."""
    ablation = plan(
        {
            "induced": {"reward": INDUCED, "alpha": [0.5, 2]},
            "r": {"reward": "random"},
        },
        seeds=2,
    )
    assert shared(ablation) == [
        "score reference for dpo (seed 0)",
        "score induced for induced,alpha=0.5 (seed 0)",
        "score induced for induced,alpha=0.5 (seed 1)",
        "score random for r (seed 0)",
    ]
    reference, _, induced, _ = ablation.shared_scoring(ablation.runs)
    assert reference.needs == frozenset()
    assert induced.needs == {reference.key, "dpo (seed 1)"}
    assert [entry.plugin for entry in reference.recipe.reward] == ["none"]
    (entry,) = induced.recipe.reward
    assert entry.args == by_key(ablation)["induced,alpha=2 (seed 1)"].recipe.reward[0].args
    for run in ablation.runs:
        assert reference.key in run.needs
        assert (induced.key in run.needs) == (
            run.key in ("induced,alpha=0.5 (seed 1)", "induced,alpha=2 (seed 1)")
        )


def test_scoring_of_one_run_alone_is_left_to_that_run(plan: Any) -> None:
    ablation = plan({"r": {"reward": "random"}, "i": {"reward": INDUCED}})
    assert shared(ablation) == ["score reference for dpo (seed 0)"]
    (run,) = [run for run in ablation.runs if run.cell.name == "r"]
    assert ablation.shared_scoring([run]) == []
    assert [task.label for task in run.scoring] == [
        "score reference for r (seed 0)",
        "score random for r (seed 0)",
    ]


def test_another_world_shares_nothing(plan: Any) -> None:
    recipe = {**RECIPE, "data": {"path": "world-{seed}"}}
    ablation = plan({"r": {"reward": "random"}}, recipe, seeds=2)
    assert shared(ablation) == [
        "score reference for dpo (seed 0)",
        "score reference for dpo (seed 1)",
    ]


def test_what_acts_after_the_store_is_shared(plan: Any) -> None:
    """Transforms, weights, shapings, the loss, and beta of the induced reward."""
    ablation = plan(
        {
            "betas": {"reward": INDUCED, "reward_beta": [0.05, 0.5]},
            "rms": {"reward": INDUCED, "transforms": "rms", "shaping": "symmetric", "beta": 0.3},
        }
    )
    assert shared(ablation) == [
        "score reference for dpo (seed 0)",
        "score induced for betas,reward_beta=0.05 (seed 0)",
    ]


def test_what_acts_before_the_store_is_not_shared(plan: Any) -> None:
    rewards = [
        {**INDUCED, "args": {**INDUCED["args"], "granularity": g}} for g in ("token", "step")
    ]
    ablation = plan({"a": {"reward": rewards[0]}, "b": {"reward": rewards[1]}})
    assert shared(ablation) == ["score reference for dpo (seed 0)"]


def test_a_sum_of_rewards_shares_each(plan: Any) -> None:
    ablation = plan({"sum": {"reward": ["random", INDUCED]}, "r": {"reward": "random"}})
    assert shared(ablation) == ["score reference for dpo (seed 0)", "score random for sum (seed 0)"]


def test_a_reward_that_is_scored_at_every_step_has_no_pass_before(tmp_path: Path) -> None:
    file = tmp_path / "online.py"
    file.write_text(ONLINE)
    content = {"recipe": RECIPE, "variants": {"o": {"reward": "online", "alpha": [1, 2]}}}
    ablation = plan_ablation(read_grid(content, "x"), tmp_path, PluginManager(files=[str(file)]))
    assert shared(ablation) == ["score reference for dpo (seed 0)"]


# -- errors before anything runs ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ({"reward": "inducde"}, "Unknown token-reward 'inducde'. Did you mean 'induced'?"),
        ({"reward": {"plugin": "random", "args": {"sed": 1}}}, "no option 'sed'. Did you mean"),
        ({"reward": "induced"}, "needs the option 'model'"),
        ({"reward": "random", "transforms": "rsm"}, "Unknown transform 'rsm'. Did you mean 'rms'?"),
        ({"reward": "random", "controls": "permut"}, "Unknown transform 'permut'"),
        ({"reward": "random", "shaping": "liner"}, "Unknown shaping 'liner'"),
        ({"reward": "random", "shaping": "constant", "alpha": 1}, "has no option 'alpha'"),
        ({"set": {"judging.judge": "verifer"}}, "Unknown judge 'verifer'"),
    ],
)
def test_an_unknown_plugin_or_option_is_found_early(
    plan: Any, tmp_path: Path, variant: dict[str, Any], message: str
) -> None:
    with pytest.raises(PluginError) as caught:
        plan({"v": variant})
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_planning_writes_nothing_and_its_rows_are_json(plan: Any, tmp_path: Path) -> None:
    ablation = plan({"r": {"reward": INDUCED, "beta": [0.1, 0.5]}}, seeds=2)
    assert not (tmp_path / "out").exists()
    assert json.loads(json.dumps([vars(cell) for cell in ablation.cells]))
    assert "{" not in to_yaml(by_key(ablation)["r,beta=0.5 (seed 1)"].recipe).replace("{}", "")
