"""`tgdpo doctor`: reads everything, changes nothing, says what can be done."""

import json
import re
from pathlib import Path

import pytest

from tgdpo_cli.main import cli, run
from tgdpo_core.training.durability.checkpoints import Checkpoints


def doctor(*arguments: str) -> int:
    return run(lambda: cli.main(["doctor", *arguments], standalone_mode=False))


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run folder with two checkpoints, left by a process that is gone."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (2, 4):
        (checkpoints.stage(step) / "model.safetensors").write_bytes(b"weights")
        checkpoints.commit(step, {})
    process = {"pid": 1, "host": "node7", "since": "2026-01-01T00:00:00+00:00"}
    record = {"status": "running", "process": process}
    (tmp_path / "run.json").write_text(json.dumps(record))
    return tmp_path


def test_a_whole_run_folder_says_where_it_can_go_on(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(str(run_folder)) == 0
    said = capsys.readouterr().out
    assert "killed: process 1 on node7" in said
    assert "--resume goes on from checkpoint-4" in said


def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = run_folder / "checkpoints" / "checkpoint-4" / "model.safetensors"
    damaged.write_bytes(b"Weights")
    before = sorted(run_folder.rglob("*"))
    assert doctor(str(run_folder), "--json") == 5
    found = json.loads(capsys.readouterr().out)
    assert found["resumes_from"] == "checkpoint-2"
    assert found["checkpoints"]["checkpoint-4"] == ["model.safetensors differs from what was saved"]
    assert sorted(run_folder.rglob("*")) == before


def test_what_is_no_run_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(str(tmp_path)) == 2
    assert "is no run folder" in capsys.readouterr().err


def test_without_a_run_it_reports_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"]["torch"]
    assert found["plugins"]["token-reward:induced"].startswith("tgdpo ")
    assert found["disk_free_gib"]
    assert found["devices"]


def test_on_a_screen_the_plugins_of_a_distribution_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TGDPO_LOAD_PLUGINS", "")
    assert doctor() == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("plugins")]
    assert len(lines) == 1
    assert re.match(r"plugins of tgdpo \S+ +.*\d+ judge.*, \d+ token-reward", lines[0])
