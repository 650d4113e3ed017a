"""``tgdpo train --dry-run`` says what it is about to do, and in words what would be optimised."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tgdpo_cli.main import cli


@pytest.fixture
def done(
    model_folder: Path, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Result:
    """The dry run of a token reward over a small model."""
    monkeypatch.setenv("TGDPO_LOAD_PLUGINS", "")
    command = [
        *("train", "--model", str(model_folder), "--dataset", str(rows_file), "--dry-run"),
        *(
            "--reward-plugin",
            "random",
            "--reward-plugin",
            "none=2",
            "--set",
            "training.use_cpu=true",
        ),
        *("--reward-transform", "rms:target=2", "--output-dir", str(tmp_path / "run")),
    ]
    return CliRunner().invoke(cli, command, catch_exceptions=False)


def test_what_would_be_optimised_is_said_in_words(done: Result) -> None:
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    rewards = [line for line in lines if line.startswith("Reward: ")]
    assert len(rewards) == 1
    assert "| rms (target=2.0" in rewards[0]
    assert rewards[0].endswith("weight 2")
    assert any(line.startswith("Shaping: linear (") for line in lines)
    assert any(line.startswith("Loss: sigmoid, beta 0.1") for line in lines)
    assert '{"name"' not in done.stdout


def test_a_long_stage_is_announced_before_it_begins(done: Result) -> None:
    assert "Rehearsing: the model is loaded" in done.stderr
    before, _, after = done.stdout.partition("Scoring ")
    assert "rehearsal.estimated_hours" in before
    assert "Token weights" in after
