"""The steps of preparation: each stops where it is asked to, and what was found is kept."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.preparation import prepared
from tgdpo_core.preparation.plan import Plan, make_plan
from tgdpo_core.preparation.prepared import prepare_plan, scored_rows
from tgdpo_core.preparation.reading import read
from tgdpo_core.preparation.tokens import tokenize
from tgdpo_core.recipe.loading import resolve_recipe


def plan_of(rows_file: Path, model_folder: Path, *overrides: str) -> Plan:
    settings = {
        "model.name_or_path": str(model_folder),
        "data.path": str(rows_file),
        "output_dir": "unused",
        "training.use_cpu": True,
        "reward": [{"plugin": "random"}],
    }
    return make_plan(resolve_recipe({}, settings=settings, overrides=overrides), PluginManager())


@pytest.mark.parametrize("step", ["make_plan", "read"])
def test_the_first_steps_need_no_torch(rows_file: Path, model_folder: Path, step: str) -> None:
    code = (
        "import sys\n"
        "from tgdpo_core.plugin_api.manager import PluginManager\n"
        "from tgdpo_core.preparation.plan import make_plan\n"
        "from tgdpo_core.preparation.reading import read\n"
        "from tgdpo_core.recipe.loading import resolve_recipe\n"
        f"settings = {{'model.name_or_path': {str(model_folder)!r}, 'output_dir': 'x',"
        f" 'data.path': {str(rows_file)!r}}}\n"
        "plan = make_plan(resolve_recipe({}, settings=settings), PluginManager())\n"
        f"{'read(plan)' if step == 'read' else ''}\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_same_rewards_are_diagnosed_once(
    rows_file: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    real = prepared.diagnose
    monkeypatch.setattr(
        prepared, "diagnose", lambda *args, **kwargs: calls.append(1) or real(*args, **kwargs)
    )

    def diagnosed(*overrides: str) -> dict[str, Any]:
        plan = plan_of(rows_file, model_folder, *overrides)
        return prepare_plan(plan, tokenize(plan, read(plan)))[0].diagnostics.as_dict()

    first = diagnosed()
    assert json.dumps(diagnosed("training.learning_rate=1e-3")) == json.dumps(first)
    assert len(calls) == 1
    assert diagnosed("shaping.args={alpha: 2}") != first
    assert len(calls) == 2


def test_of_many_pairs_a_stated_number_is_diagnosed(
    rows_file: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "MOST_DIAGNOSED", 5)
    plan = plan_of(rows_file, model_folder)
    found, _ = prepare_plan(plan, tokenize(plan, read(plan)))
    assert found.diagnostics.num_pairs == 5
    assert len(found.scored.train) == 12


@pytest.mark.parametrize("transforms", ["[]", "[{name: rms}]"], ids=["alone", "fitted"])
def test_some_rows_are_scored_as_in_the_whole(
    rows_file: Path, model_folder: Path, transforms: str
) -> None:
    plan = plan_of(rows_file, model_folder, f"reward.0.transforms={transforms}")
    tokens = tokenize(plan, read(plan))
    some = scored_rows(plan, tokens, [7, 2])
    table = prepare_plan(plan, tokens)[0].scored.train
    for row, scored in zip((7, 2), some, strict=True):
        assert scored.pair.pair == table[row].pair.pair
        assert scored.weights.tolist() == table[row].weights.tolist()
