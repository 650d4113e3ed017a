"""Diagnostics in ``tgdpo score --describe`` and ``tgdpo train --dry-run``."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tgdpo_cli.main import cli


@pytest.fixture
def base(model_folder: Path, rows_file: Path, tmp_path: Path) -> list[str]:
    output = str(tmp_path / "run")
    return ["--model", str(model_folder), "--dataset", str(rows_file), "--output-dir", output]


def tgdpo(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def test_describe_prints_rewards_weights_and_the_ratio_of_the_sides(base: list[str]) -> None:
    text = tgdpo("score", *base, "--reward-plugin", "random", "--describe").stdout
    assert re.search(r"Token rewards of 12 training pairs \(\d+ response tokens\)", text)
    assert re.search(r"^random +\S+ +\S+ +\S+ +\S+ +\S+ +100\.0% +-?0\.\d\d$", text, re.M)
    assert re.search(r"^chosen +\d\.\d+ +0\.\d+ +", text, re.M)
    assert re.search(r"^mean f_w / mean f_l: \d\.\d+$", text, re.M)


def test_plain_score_describes_nothing(base: list[str]) -> None:
    assert "Token weights" not in tgdpo("score", *base, "--reward-plugin", "none").stdout


def test_a_reward_without_variance_is_warned_of(base: list[str]) -> None:
    text = tgdpo("score", *base, "--reward-plugin", "none", "--describe").stdout
    assert "Warning: no variance: every weight is 1, this is plain DPO." in text


def test_a_mixture_is_described_source_by_source_and_in_sum(base: list[str]) -> None:
    sources = [
        "--reward-plugin",
        "random=2",
        "--reward-plugin",
        "random",
        "--reward-plugin",
        "none",
    ]
    result = tgdpo("score", *base, *sources, "--describe", "--json")
    rewards = json.loads(result.stdout)["diagnostics"]["rewards"]
    assert [r["name"] for r in rewards] == ["random (reward.0)", "random (reward.1)", "none", "sum"]
    first, second, none, total = (r["std"] for r in rewards)
    assert (first, none) == (pytest.approx(2 * second), 0.0)
    assert total == pytest.approx(3 * second)


def test_a_dry_run_prints_plan_and_diagnostics_and_writes_no_run_folder(
    base: list[str], tmp_path: Path
) -> None:
    text = tgdpo("train", *base, "--reward-plugin", "random", "--dry-run").stdout
    assert "longest_sequence" in text
    assert "Token weights" in text
    assert text.endswith("Dry run: nothing was trained; no run folder was written.\n")
    assert not (tmp_path / "run").exists()


def test_a_dry_run_gives_json_with_its_diagnostics(base: list[str]) -> None:
    result = tgdpo("train", *base, "--reward-plugin", "none", "--dry-run", "--json")
    report = json.loads(result.stdout)
    assert report["steps"] > 0
    assert [w["code"] for w in report["diagnostics"]["warnings"]] == ["no-variance"]


def test_a_dry_run_runs_the_longest_row_and_estimates_time_and_memory(base: list[str]) -> None:
    result = tgdpo("train", *base, "--reward-plugin", "none", "--dry-run", "--json")
    rehearsal = json.loads(result.stdout)["rehearsal"]
    assert rehearsal["layout"] == "share"
    assert 0 < rehearsal["longest_row"]["tokens"] <= rehearsal["tokens_per_row"] == 1024
    assert rehearsal["estimated_seconds_per_step"] > 0
    assert rehearsal["peak_memory_mib"] > rehearsal["optimizer_memory_mib"] > 0


def test_training_after_a_dry_run_computes_nothing_again(base: list[str]) -> None:
    tgdpo("train", *base, "--reward-plugin", "random", "--dry-run")
    totals = json.loads(tgdpo("score", *base, "--reward-plugin", "random", "--json").stdout)
    assert (totals["computed"], totals["reused"]) == (0, 24)
