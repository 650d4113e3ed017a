"""Transforms from the command line to run.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from tgdpo_cli.main import cli, run


def train(folder: Path, *arguments: str) -> int:
    """Train two steps on the playground and return the exit code."""
    fixed = ["--set", "training.max_steps=2", "--set", "data.eval_path=null"]
    command = ["train", "--config", "playground", "--output-dir", str(folder), *fixed, *arguments]
    return run(lambda: cli.main(command, prog_name="tgdpo", standalone_mode=False))


def facts(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def test_a_run_keeps_what_its_transforms_learnt(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    code = train(
        folder,
        *("--reward-plugin", "playground-oracle"),
        *("--reward-transform", "rms:target=1.0", "--reward-transform", "clip:max=2"),
        *("--shaping", "symmetric", "--shaping-arg", "alpha=0.3"),
    )
    assert code == 0
    found = facts(folder)
    rms, clip = found["transform_states"]
    assert (rms["transform"], clip["transform"], clip["state"]) == ("rms", "clip", {})
    # The oracle gives +1, -1 and 0: after rms, its largest value is 1 / rms, and 2 bounds nothing.
    largest = 1 / rms["state"]["rms"]
    assert found["diagnostics"]["rewards"][0]["quantiles"]["1.0"] == pytest.approx(
        largest, rel=1e-6
    )
    assert 1 < largest < 2
    assert found["shaping"]["name"] == "symmetric"
    assert found["shaping"]["options"]["alpha"] == 0.3


def test_each_transform_is_fitted_on_what_the_one_before_gives(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    code = train(
        folder,
        *("--reward-plugin", "playground-oracle"),
        *("--reward-transform", "standardize", "--reward-transform", "class-mean"),
        *("--shaping", "exponential"),
    )
    assert code == 0
    standardize, class_mean = (item["state"] for item in facts(folder)["transform_states"])
    means = class_mean["mean"]
    assert standardize["mean"] > 0
    assert means["chosen"] > 0 > means["rejected"]
    quantiles = facts(folder)["diagnostics"]["rewards"][0]["quantiles"]
    assert quantiles["1.0"] == pytest.approx(means["chosen"], rel=1e-6)
    assert quantiles["0.0"] == pytest.approx(means["rejected"], rel=1e-6)


def test_rewards_without_spread_end_the_run_with_a_plugin_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = train(tmp_path / "run", "--reward-plugin", "none", "--reward-transform", "standardize")
    assert code == 4
    message = capsys.readouterr().err
    assert "transform 'standardize' (tgdpo " in message
    assert "of token reward 'none'" in message
    assert "there is no spread to standardize" in message
