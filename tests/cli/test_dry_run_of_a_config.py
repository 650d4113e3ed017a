"""``tgdpo train --dry-run`` of a folder with nothing but a config: memory, and what was not run."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import tiny_llama
from tgdpo_cli.main import cli
from tgdpo_core.errors import MachineError


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    tiny_llama(500, hidden_size=64).config.save_pretrained(tmp_path)
    return [
        *("train", "--model", str(tmp_path), "--dataset", "nowhere.jsonl", "--dry-run"),
        *("--reward-plugin", "none", "--output-dir", str(tmp_path / "run")),
    ]


def test_memory_is_said_and_what_was_not_run(command: list[str]) -> None:
    done = CliRunner().invoke(cli, [*command, "--json"], catch_exceptions=False)
    report = json.loads(done.stdout)
    assert report["lacking"] == ["weights", "tokenizer"]
    assert report["not_run"] == ["rehearsal", "scoring", "data", "tokens"]
    parts = report["memory"]["gib_per_gpu"]
    assert parts["total"] == pytest.approx(sum(v for k, v in parts.items() if k != "total"))
    text = CliRunner().invoke(cli, command, catch_exceptions=False).stdout
    assert "The model's folder has no weights and no tokenizer" in text


def test_a_gpu_that_is_too_small_ends_the_command(command: list[str]) -> None:
    done = CliRunner().invoke(cli, [*command, "--gpu-memory", "0.5"])
    assert isinstance(done.exception, MachineError)
    assert "memory.fits" in done.stdout


def test_gpus_belong_to_a_dry_run(command: list[str]) -> None:
    command.remove("--dry-run")
    done = CliRunner().invoke(cli, [*command, "--gpus", "2"])
    assert "--gpus belongs to --dry-run" in done.output
