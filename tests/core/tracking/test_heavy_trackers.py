"""wandb offline, trackio and MLflow themselves: `make test-trackers`; else skipped."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.errors import UsageError
from tgdpo_core.reports.value_histograms import png_of
from tgdpo_core.tracking.open_trackers import open_trackers, require_usable
from tgdpo_core.tracking.tracker import TrackedRun

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
CONFIG = {"loss": {"beta": 0.1}, "reward": [{"plugin": "induced"}], "long": "x" * 7000}


def log_and_resume(name: str, folder: Path) -> tuple[str, str]:
    """Log what a run logs, fail, go on; return the ids before and after."""
    from matplotlib.figure import Figure

    run = TrackedRun("dpo,beta=0.1/seed-0", folder, CONFIG, group="mine")
    first = open_trackers([name], run)
    first.numbers({"loss": 0.5, "eval_loss": 0.4}, 1)
    first.picture("weights", png_of(Figure(figsize=(1, 1))))
    first.table("results", ("cell", "solved"), [("a", "0.5")])
    ids = first.ids
    first.close(failed=True)
    again = TrackedRun(run.name, folder, CONFIG, group="mine", ids=ids, step=1)
    second = open_trackers([name], again)
    second.numbers({"loss": 0.3}, 2)
    after = second.ids
    second.close(failed=False)
    assert (first.failed, second.failed) == ({}, {})
    return ids[name], after[name]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_API_KEY", "WANDB_PROJECT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_mlflow_keeps_one_run_with_its_config_numbers_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow: Any = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    before, after = log_and_resume("mlflow", tmp_path)
    assert before == after
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/runs.db")
    found = client.get_run(before)
    assert found.info.run_name == "mine: dpo,beta=0.1/seed-0"
    assert (found.info.status, found.data.tags["tgdpo.group"]) == ("FINISHED", "mine")
    assert found.data.params["loss.beta"] == "0.1"
    assert found.data.metrics["loss"] == 0.3
    assert [m.step for m in client.get_metric_history(before, "loss")] == [1, 2]
    names = {artifact.path for artifact in client.list_artifacts(before)}
    assert {"config.json", "weights.png", "results.json"} <= names
    assert client.get_experiment(found.info.experiment_id).name == "tgdpo"


@pytest.mark.parametrize("uri", ["foo://x", "http://127.0.0.1:9"])
def test_an_mlflow_that_cannot_be_used_is_one_line(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UsageError, match="report_to=mlflow cannot be used") as met:
        require_usable(["mlflow"])
    assert "\n" not in str(met.value)


def test_wandb_offline_keeps_its_id_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    before, after = log_and_resume("wandb", tmp_path)
    assert before == after
    runs = list((tmp_path / "wandb").glob("offline-run-*"))
    assert len(runs) == 2
    assert all(before in run.name for run in runs)
    pictures = [path for run in runs for path in run.rglob("*.png")]
    tables = [path for run in runs for path in run.rglob("*.table.json")]
    assert len(pictures) == 1
    assert json.loads(tables[0].read_text())["data"] == [["a", "0.5"]]


def test_a_wandb_that_nobody_is_logged_in_to_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(UsageError, match="nobody is logged in"):
        require_usable(["wandb"])


def test_trackio_keeps_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    before, after = log_and_resume("trackio", tmp_path)
    assert before == after == "mine: dpo,beta=0.1/seed-0"
    (file,) = (tmp_path / "trackio").glob("tgdpo*.db")
    with sqlite3.connect(file) as base:
        rows = base.execute("select run_name, step from metrics order by step").fetchall()
    assert {name for name, _ in rows} == {before}
    assert {step for _, step in rows} >= {1, 2}
