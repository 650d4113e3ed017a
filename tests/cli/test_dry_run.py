"""``tgdpo train --dry-run`` says what it is about to do, and in words what would be optimised."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tgdpo_cli.main import cli


@pytest.fixture(scope="module")
def done(model_folder: Path, rows_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The dry run of a token reward with a transform, on a small model."""
    command = [
        *("train", "--model", str(model_folder), "--dataset", str(rows_file), "--dry-run"),
        *("--reward-plugin", "random=2", "--reward-transform", "rms:target=2"),
        *("--set", "training.use_cpu=true", "--output-dir", str(tmp_path_factory.mktemp("run"))),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TGDPO_LOAD_PLUGINS", "")
        return CliRunner().invoke(cli, command, catch_exceptions=False)


def test_what_would_be_optimised_is_said_in_words(done: Result) -> None:
    lines = done.stdout.splitlines()
    (reward,) = (line for line in lines if line.startswith("Reward: "))
    assert "token reward 'random'" in reward
    assert reward.endswith("| rms (target=2.0), weight 2")
    assert any(line.startswith("Shaping: linear (") for line in lines)
    assert any(line.startswith("Loss: sigmoid, beta 0.1") for line in lines)
    assert '{"name"' not in done.stdout


def test_a_long_stage_is_announced_before_it_begins(done: Result) -> None:
    assert "Rehearsing: the model is loaded" in done.stderr
    before, _, after = done.stdout.partition("Scoring ")
    assert "rehearsal.estimated_hours" in before
    assert "Token weights" in after
