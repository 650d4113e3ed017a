"""Answers judged during training: rows at epoch ends, and no influence on what is trained."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tgdpo_core import Generation, Judge
from tgdpo_core.errors import PluginError, UsageError
from tgdpo_core.evaluation.generation import Sampling
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.recipe import resolve_recipe
from tgdpo_core.training import run
from tgdpo_core.training.judging import Judging
from tgdpo_core.training.plan import make_plan

ROWS = [
    {"prompt": f"{i} plus {i}? ", "chosen": f"It is {2 * i}.", "rejected": f"It is {2 * i + 1}!"}
    for i in range(8)
]


@pytest.fixture
def recipe(tmp_path: Path, model_folder: Path) -> dict[str, Any]:
    """Two epochs on eight rows, without judging."""
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return {
        "model": {"name_or_path": str(model_folder)},
        "data": {"path": str(data), "eval_path": str(data)},
        "training": {
            "num_train_epochs": 2,
            "per_device_train_batch_size": 4,
            "learning_rate": 1e-3,
            "use_cpu": True,
            "save_strategy": "no",
            "disable_tqdm": True,
        },
        "output_dir": str(tmp_path / "run"),
    }


PLUGIN = '''
from tgdpo_core import Judge, hookimpl, option

class Long(Judge):
    """Score the length of an answer."""

    broken: bool = option(False, help="raise")

    def score(self, batch):
        """Return a length per answer."""
        if self.broken:
            raise RuntimeError("no idea")
        return [float(len(item.response)) for item in batch]

@hookimpl
def register_judges(register):
    """Register it."""
    register("long", Long)
'''


@pytest.fixture
def plugins(tmp_path: Path) -> PluginManager:
    """The installed plugins and the judge of lengths."""
    file = tmp_path / "long.py"
    file.write_text(PLUGIN)
    return PluginManager(files=[str(file)])


def train(recipe: dict[str, Any], plugins: PluginManager, name: str, **judging: Any) -> Path:
    """Train and return the run folder."""
    folder = Path(recipe["output_dir"]).with_name(name)
    content = {**recipe, "output_dir": str(folder)}
    if judging:
        content["judging"] = {"judge": "long", "max_new_tokens": 6, **judging}
    return run.train(make_plan(resolve_recipe(content, source="test"), plugins)).path


def log(folder: Path) -> list[dict[str, Any]]:
    """Return the log rows."""
    lines = (folder / "logs" / "train.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_answers_are_judged_before_training_and_at_epoch_ends(
    recipe: dict[str, Any], plugins: PluginManager
) -> None:
    rows = [
        row
        for row in log(train(recipe, plugins, "judged", samples=2, kl=True))
        if "judge/greedy" in row
    ]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert rows[0]["judge/kl"] == 0
    assert rows[-1]["judge/kl"] > 0
    assert all(row["judge/sampled"] > 0 for row in rows)


def test_epochs_between_judgements_are_kept(recipe: dict[str, Any], plugins: PluginManager) -> None:
    folder = train(recipe, plugins, "judged", every_epochs=2, samples=0, num_prompts=3)
    rows = [row for row in log(folder) if "judge/greedy" in row]
    assert [row["epoch"] for row in rows] == [0, 2]
    assert all("judge/sampled" not in row and "judge/kl" not in row for row in rows)


def test_judging_changes_no_weight(recipe: dict[str, Any], plugins: PluginManager) -> None:
    weights = [
        load_file(train(recipe, plugins, name, **judging) / "model" / "model.safetensors")
        for name, judging in (("plain", {}), ("judged", {"samples": 1, "kl": True}))
    ]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_judge_that_fails_is_named(recipe: dict[str, Any], plugins: PluginManager) -> None:
    with pytest.raises(PluginError, match="judge 'long' failed: RuntimeError: no idea"):
        train(recipe, plugins, "judged", args={"broken": True})


class Nothing(Judge):
    """A judge for settings that are refused before it is asked."""

    def score(self, batch: Sequence[Generation]) -> list[float]:
        """Return zeros."""
        return [0.0 for _ in batch]


def test_judging_without_prompts_is_refused() -> None:
    with pytest.raises(UsageError, match=r"give data\.eval_path"):
        Judging("nothing", Nothing(), [], Sampling())
