"""``data.swap``: fine-tuning on the rejected responses."""

import json
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.errors import RecipeError
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.preparation.plan import Plan, make_plan
from tgdpo_core.preparation.reading import read
from tgdpo_core.recipe import resolve_recipe
from tgdpo_core.training import run

SFT = {"loss.name": "sft", "data.swap": True}


@pytest.fixture
def plan_of(model_folder: Path, rows_file: Path, tmp_path: Path) -> Any:
    def make(name: str = "run", **settings: Any) -> Plan:
        content = {"training": {"max_steps": 3, "save_strategy": "no", "learning_rate": 1e-2}}
        places = {
            "model.name_or_path": str(model_folder),
            "data.path": str(rows_file),
            "output_dir": str(tmp_path / name),
        }
        recipe = resolve_recipe(content, settings={**places, **settings})
        return make_plan(recipe, PluginManager())

    return make


def test_chosen_and_rejected_are_exchanged(plan_of: Any) -> None:
    plain = read(plan_of(**{"loss.name": "sft"})).train
    swapped = read(plan_of(**SFT)).train
    assert [(p.prompt, p.chosen, p.rejected) for p in swapped] == [
        (p.prompt, p.rejected, p.chosen) for p in plain
    ]


def test_the_rejected_responses_become_likelier(plan_of: Any) -> None:
    folder = run.train(plan_of(**SFT, **{"training.logging_steps": 1}))
    rows = [json.loads(line) for line in folder.log.read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < losses[0]
    assert rows[-2]["logps/chosen_delta"] > 0  # "chosen" is what the rows call rejected


@pytest.mark.parametrize(
    "settings",
    [{"data.swap": True}, {**SFT, "reward": [{"plugin": "random"}]}],
    ids=["a preference loss", "a token reward"],
)
def test_only_plain_fine_tuning_may_swap(settings: dict[str, Any], plan_of: Any) -> None:
    with pytest.raises(RecipeError, match=r"data\.swap: only for fine-tuning .* got loss"):
        plan_of(**settings)
