"""dense-prm through the command line: a run on real pairs, its store key, its contract."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgdpo_cli.main import cli, run
from tgdpo_core.testing import TokenRewardContract
from tgdpo_plugins.token_rewards.dense_prm import DensePRM

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def prm(checkpoint: Make, words: Any) -> Path:
    """A token-classification model that reads words."""
    return checkpoint("labels", words, num_labels=2)


@pytest.fixture
def train(
    tmp_path: Path, gsm8k_rows: list[dict[str, Any]], model_folder: Path, prm: Path
) -> Callable[..., dict[str, Any]]:
    """A function: name of the run and options of the reward -> run.json of two steps."""
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in gsm8k_rows[:6]))

    def go(name: str, *options: str) -> dict[str, Any]:
        folder = tmp_path / name
        arguments = [
            *("train", "--model", str(model_folder), "--dataset", str(data)),
            *("--reward-plugin", "dense-prm", "--reward-arg", f"model={prm}"),
            *(word for option in options for word in ("--reward-arg", option)),
            *("--reward-transform", "rms", "--output-dir", str(folder)),
            *("--set", "training.max_steps=2", "--set", "training.save_strategy=no"),
            *("--set", "training.per_device_train_batch_size=2"),
        ]
        assert run(lambda: cli.main(arguments, standalone_mode=False)) == 0
        record: dict[str, Any] = json.loads((folder / "run.json").read_text())
        return record

    return go


def test_it_trains_and_is_stored(train: Callable[..., dict[str, Any]]) -> None:
    first = train("first", "preset=token-classification")
    assert first["status"] == "done"
    assert first["diagnostics"]["rewards"][0]["rms"] == pytest.approx(1, abs=1e-5)
    again = train("again", "preset=token-classification", "batch_size=1")
    assert again["store"]["computed"] == 0
    other = train("other", "preset=token-classification", "output=signed")
    assert other["store"]["passes"]["token_reward:dense-prm"]["computed"] == 6


class TestStepsOfDensePRM(TokenRewardContract):
    """The contract of every token reward, on a tiny model of steps."""

    @pytest.fixture(autouse=True)
    def _model(self, prm: Path) -> None:
        self.plugin = DensePRM(model=str(prm), preset="token-classification")


class TestTokensOfDensePRM(TokenRewardContract):
    """The same, on a tiny model of every token."""

    @pytest.fixture(autouse=True)
    def _model(self, prm: Path) -> None:
        self.plugin = DensePRM(model=str(prm), preset="token-head", placement="delta")
