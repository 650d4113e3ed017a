"""An ablation in a tracker: cells by name and seed, one group, the results once."""

import json
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.errors import UsageError
from tgdpo_core.experiments.grid import read_grid
from tgdpo_core.experiments.planning import plan_ablation
from tgdpo_core.experiments.results import write_results
from tgdpo_core.experiments.tasks import Ablation
from tgdpo_core.experiments.tracked_results import check_trackers, track_results
from tgdpo_core.plugin_api.manager import PluginManager


def planned(folder: Path, **training: Any) -> Ablation:
    recipe = {"model": {"name_or_path": "playground"}, "data": {"path": "playground"}}
    content = {"recipe": {**recipe, "training": training}, "seeds": 2, "variants": {"dpo": {}}}
    return plan_ablation(read_grid(content, "a.yaml"), folder, PluginManager())


def test_cells_are_named_by_cell_and_seed_and_grouped_by_the_ablation(tmp_path: Path) -> None:
    runs = planned(tmp_path / "mine").runs
    assert [run.tracked_name for run in runs] == ["dpo/seed-0", "dpo/seed-1"]
    assert {run.ablation for run in runs} == {"mine"}
    assert {run.ablation for run in planned(tmp_path, run_name="study").runs} == {"study"}


def test_results_are_logged_once_and_again_when_they_change(ablation: Any) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for seed in (0, 1):
        ablation.judged("dpo", [0.3, 0.5], seed=seed)
    plan = planned(ablation.folder, report_to="tensorboard")
    track_results(plan, write_results(ablation.folder))
    (file,) = (ablation.folder / "tensorboard").glob("events*")
    found = EventAccumulator(str(file.parent))
    found.Reload()
    assert "results/text_summary" in found.Tags()["tensors"]
    assert found.Tags()["images"]
    track_results(plan, write_results(ablation.folder))
    assert len(list((ablation.folder / "tensorboard").glob("events*"))) == 1
    assert json.loads((ablation.folder / "trackers.json").read_text())["ids"]


def test_nothing_is_logged_where_no_tracker_is_named(ablation: Any) -> None:
    ablation.judged("dpo", [0.3, 0.5])
    track_results(planned(ablation.folder), write_results(ablation.folder))
    assert not (ablation.folder / "trackers.json").exists()


def test_a_tracker_that_cannot_be_used_is_refused_before_any_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tgdpo_core.tracking import open_trackers as opening

    def refuse(project: str | None) -> None:
        raise ValueError(f"no such server for {project}")

    kind = opening._Kind(refuse, opening._KINDS["tensorboard"].open)
    monkeypatch.setattr(opening, "_KINDS", {"tensorboard": kind})
    with pytest.raises(UsageError, match=r"tensorboard cannot be used: .* server for mine"):
        check_trackers(planned(tmp_path, report_to="tensorboard", project="mine"))
