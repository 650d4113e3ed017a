"""A run in a tracker: its name, its config, its numbers, its end; and a resumed one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core import TGDPOTrainer
from tgdpo_core.errors import UsageError
from tgdpo_core.tracking import open_trackers as opening
from tgdpo_core.tracking.tracker import TrackedRun, Tracker

MakeTrainer = Callable[..., TGDPOTrainer]


class Recorder(Tracker):
    """A tracker that keeps what it is told."""

    runs: list["Recorder"]

    def __init__(self, run: TrackedRun) -> None:
        self.run = run
        self.id = run.ids.get("mlflow") or f"run-{len(self.runs)}"
        self.rows: list[tuple[int, dict[str, Any]]] = []
        self.pictures: dict[str, bytes] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.ended: list[bool] = []
        self.runs.append(self)

    def numbers(self, values: Any, step: int) -> None:
        self.rows.append((step, dict(values)))

    def picture(self, name: str, png: bytes) -> None:
        self.pictures[name] = png

    def table(self, name: str, columns: Any, rows: Any) -> None:
        self.tables[name] = [list(row) for row in rows]

    def close(self, *, failed: bool) -> None:
        self.ended.append(failed)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Recorder]:
    """The runs of a tracker that stands for mlflow."""
    import transformers.trainer as hf_trainer

    from tgdpo_core.recipe import optional_packages
    from tgdpo_core.training import tracked

    Recorder.runs = []
    kind = opening._Kind(lambda project: None, Recorder)
    monkeypatch.setattr(opening, "_KINDS", {**opening._KINDS, "mlflow": kind})
    monkeypatch.setattr(optional_packages, "_is_installed", lambda module: True)
    for module in (hf_trainer, tracked):  # transformers' own callback needs the package
        monkeypatch.setattr(module, "get_reporting_integration_callbacks", lambda names: [])
    return Recorder.runs


def test_a_run_is_named_after_its_folder_and_keeps_all_settings(
    make_trainer: MakeTrainer, recorded: list[Recorder]
) -> None:
    make_trainer("tried", report_to="mlflow", token_reward="random", beta=0.3).train()
    (run,) = recorded
    assert (run.run.name, run.run.group) == ("tried", None)
    config = run.run.config
    assert config["reward"][0]["name"] == "random"
    assert (config["loss"]["beta"], config["shaping"]["name"]) == (0.3, "linear")
    assert config["training"]["seed"] == 5
    assert {"data", "tokenizer", "reference"} <= config["fingerprints"].keys()
    assert "torch" in config["versions"]
    assert json.dumps(config)
    assert [step for step, row in run.rows if "loss" in row] == [1, 2, 3]
    assert run.pictures["rewards_and_weights"].startswith(b"\x89PNG")
    assert [row[0] for row in run.tables["token_rewards"]] == [
        "reward random (mean)",
        "weight (mean)",
        "weight (std)",
    ]
    assert run.ended == [False]


def test_run_name_names_a_run(make_trainer: MakeTrainer, recorded: list[Recorder]) -> None:
    make_trainer(report_to="mlflow", run_name="mine").train()
    assert recorded[0].run.name == "mine"


def test_a_resumed_run_goes_on_in_the_run_of_the_tracker(
    make_trainer: MakeTrainer, recorded: list[Recorder]
) -> None:
    saving = {"report_to": "mlflow", "save_strategy": "steps", "save_steps": 2}
    trainer = make_trainer(**saving)
    trainer.train()
    checkpoint = Path(trainer.args.output_dir) / "checkpoints" / "checkpoint-2"
    make_trainer(**saving).train(resume_from_checkpoint=str(checkpoint))
    first, second = recorded
    assert (second.id, second.run.step) == (first.id, 2)
    assert [step for step, row in second.rows if "loss" in row] == [3]


def test_a_run_that_fails_is_closed_as_failed(
    make_trainer: MakeTrainer, recorded: list[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(report_to="mlflow")
    monkeypatch.setattr(trainer, "training_step", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    assert recorded[0].ended == [True]


def test_a_tracker_that_fails_in_between_stands_in_the_record(
    make_trainer: MakeTrainer,
    recorded: list[Recorder],
    monkeypatch: pytest.MonkeyPatch,
    run_record: Callable[..., dict[str, Any]],
) -> None:
    def gone(self: Recorder, values: Any, step: int) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(Recorder, "numbers", gone)
    trainer = make_trainer(report_to="mlflow")
    trainer.train()
    record = run_record(trainer.args.output_dir)
    assert record["status"] == "done"
    assert record["trackers_failed"] == {"mlflow": "at step 1: ConnectionError: gone"}


def test_a_tracker_that_cannot_be_used_is_refused_before_anything_is_scored(
    make_trainer: MakeTrainer,
    recorded: list[Recorder],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def refuse(project: str | None) -> None:
        raise ValueError("unknown scheme")

    kind = opening._Kind(refuse, Recorder)
    monkeypatch.setattr(opening, "_KINDS", {"mlflow": kind})
    with pytest.raises(UsageError, match="report_to=mlflow cannot be used: ValueError: unknown"):
        make_trainer(report_to="mlflow")
    assert not (tmp_path / "store").exists()
    assert recorded == []


def test_an_evaluation_without_training_is_logged_too(
    make_trainer: MakeTrainer, recorded: list[Recorder], small_rows: list[dict[str, Any]]
) -> None:
    trainer = make_trainer(report_to="mlflow", eval_dataset=small_rows)
    trainer.evaluate()
    assert "eval_loss" in recorded[0].rows[0][1]
    trainer.train()
    assert recorded[0].ended == [False]


@pytest.mark.parametrize("rank", [1])
def test_only_the_first_process_speaks_to_trackers(
    make_trainer: MakeTrainer, recorded: list[Recorder], rank: int
) -> None:
    from types import SimpleNamespace

    from tgdpo_core.training.tracked import TrackedTraining

    trainer = make_trainer()
    args: Any = SimpleNamespace(process_index=rank)
    tracked = TrackedTraining(["mlflow"], args, trainer._folder, ({}, None, ()))  # type: ignore[arg-type]
    tracked.begin(resumed_at=None)
    tracked.on_log(args, SimpleNamespace(global_step=1), None, logs={"loss": 1.0})
    tracked.end(failed=False)
    assert recorded == []
