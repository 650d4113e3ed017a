"""Code that changed is said, and values are kept where the user knows that they are the same."""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgdpo_cli.main import cli, run

REWARD = """
from tgdpo_core import TokenReward, hookimpl

class Mine(TokenReward):
    "A reward."
    def score(self, batch):
        return [[{value}] * len(e.response_ids) for e in batch]

@hookimpl
def register_token_rewards(register):
    register("mine", Mine)
"""


@pytest.fixture
def score(
    tmp_path: Path, rows_file: Path, model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> Callable[[str], dict[str, Any]]:
    """A function: value of the reward -> what was computed and reused of it."""
    file = tmp_path / "mine.py"

    def call(value: str) -> dict[str, Any]:
        file.write_text(REWARD.format(value=value))
        for name in [name for name in sys.modules if name.startswith("tgdpo_plugin_file")]:
            del sys.modules[name]
        command = ["--plugin-file", str(file), "score", "--model", str(model_folder), "--json"]
        command += ["--dataset", str(rows_file), "--reward-plugin", "mine"]
        assert run(lambda: cli.main(command, standalone_mode=False)) == 0
        found: dict[str, Any] = json.loads(capfd.readouterr().out)
        return found["passes"]["token_reward:mine"]

    return call


def adopted(*keys: str) -> int:
    return run(lambda: cli.main(["store", "adopt", *keys], standalone_mode=False))


def test_a_change_of_the_code_is_said_with_the_command_that_keeps_old_values(
    score: Callable[[str], dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.WARNING)
    old = score("1.0")
    assert "its code is not" not in caplog.text
    new = score("2.0")
    assert new["computed"] == 12
    command = f"tgdpo store adopt {old['key']} {new['key']}"
    assert "changed: source); it scores anew" in caplog.text
    assert command in caplog.text
    caplog.clear()
    third = score("1.00")
    assert f"tgdpo store adopt {new['key']} {third['key']}" in caplog.text
    assert adopted(old["key"], third["key"]) == 0
    assert "0 entries" in capfd.readouterr().out  # they were computed already


def test_adopted_values_are_used_and_not_computed(
    score: Callable[[str], dict[str, Any]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import shutil

    old, new = score("1.0"), score("1.00")
    folder = tmp_path / "store" / new["key"]
    for path in folder.glob("000000.*"):
        path.unlink()
    shutil.rmtree(folder / "set-aside", ignore_errors=True)
    assert adopted(old["key"], new["key"]) == 0
    assert "12 entries" in capfd.readouterr().out
    again = score("1.00")
    assert (again["computed"], again["reused"]) == (0, 12)


def test_keys_that_differ_in_more_than_the_code_are_refused(
    score: Callable[[str], dict[str, Any]], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    old = score("1.0")
    reference = next(
        path.parent.name
        for path in (tmp_path / "store").glob("*/key.json")
        if json.loads(path.read_text())["kind"] == "logps"
    )
    assert adopted(old["key"], reference) == 2
    assert "must differ in the code of one plugin and in nothing else" in capfd.readouterr().err
