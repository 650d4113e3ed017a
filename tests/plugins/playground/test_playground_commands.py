"""The commands that prepare experiments: a world, and a reward model for it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from tgdpo_core.data.sources import load_rows
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_plugins.playground import build, record, register_commands, train_prm
from tgdpo_plugins.playground.dataset import Playground, world_of
from tgdpo_plugins.playground.splits import ALL_SPLITS, SPLITS

NUM_PAIRS = 8


@pytest.fixture
def _threads_as_before() -> Iterator[None]:
    """The commands set the number of threads of their own process."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def _small_worlds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worlds get world 0's model and few pairs."""
    from transformers import LlamaForCausalLM

    def base_model(*_: Any, **__: Any) -> LlamaForCausalLM:
        return LlamaForCausalLM.from_pretrained(str(Playground.model))

    monkeypatch.setattr(build, "_train_base_model", base_model)
    for name, split in SPLITS.items():
        monkeypatch.setitem(SPLITS, name, replace(split, num_pairs=NUM_PAIRS))


def run(command: str, *arguments: object) -> Result:
    @click.group()
    def cli() -> None:
        pass

    register_commands(cli)
    return CliRunner().invoke(cli, [command, *map(str, arguments)])


def test_commands_are_the_scripts_and_load_no_heavy_library() -> None:
    code = (
        "import sys, click, tgdpo_plugins.playground as playground\n"
        "group = click.Group()\n"
        "assert 'tqdm' not in sys.modules\n"
        "playground.register_commands(group)\n"
        "from tgdpo_plugins.playground import build, train_prm\n"
        "assert group.commands['playground-world'] is build.main\n"
        "assert group.commands['playground-prm'] is train_prm.main\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.usefixtures("_threads_as_before", "_small_worlds")
def test_a_made_world_serves_as_data_set_and_for_a_reward_model(tmp_path: Path) -> None:
    folder = tmp_path / "world"
    result = run("playground-world", "--seed", 5, "--output", folder)
    assert result.exit_code == 0, result.output

    world = world_of(str(folder))
    assert world.seed == 5
    plugins = PluginManager(env={"TGDPO_LOAD_PLUGINS": ""})
    for split in ALL_SPLITS:
        rows = [
            dict(row) for _, row in load_rows(str(folder / "splits"), split=split, plugins=plugins)
        ]
        assert rows == list(world().rows(split))
        assert rows

    made = run(
        *("playground-prm", "--world", folder, "--output", tmp_path / "prm", "--rollouts", 64)
    )
    assert made.exit_code == 0, made.output
    options = json.loads((tmp_path / "prm" / train_prm.RECORD).read_text())["options"]
    assert (options["world"], options["rollouts"], options["threads"]) == (5, 64, 1)


@pytest.mark.usefixtures("_threads_as_before", "_small_worlds")
def test_a_finished_world_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("playground-world", "--seed", 5, "--output", tmp_path).exit_code == 0
    monkeypatch.setattr(build, "make_tokenizer", None)  # whatever is made now would fail
    again = run("playground-world", "--seed", 5, "--output", tmp_path)
    assert again.exit_code == 0
    assert "holds this world already" in again.output
    other = run("playground-world", "--seed", 6, "--output", tmp_path)
    assert other.exit_code == 2
    assert "made with other options: seed=5. Asked for: seed=6." in other.output


@pytest.mark.usefixtures("_threads_as_before")
def test_a_finished_reward_model_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("playground-prm", "--rollouts", 64, "--output", tmp_path)
    assert run(*options).exit_code == 0
    monkeypatch.setattr(train_prm, "_make", None)
    again = run(*options)
    assert again.exit_code == 0
    assert "holds this reward model already" in again.output
    other = run(*options, "--target", "outcome", "--threads", 2)
    assert other.exit_code == 2
    assert "target=steps" in other.output
    assert "target=outcome" in other.output
    assert "threads=2" in other.output


def test_a_step_without_a_record_is_not_done(tmp_path: Path) -> None:
    assert not record.is_done(tmp_path / "made.json", {"seed": 1})


def test_an_option_that_an_older_record_lacks_is_another_option(tmp_path: Path) -> None:
    record.write_record(tmp_path / "made.json", {"seed": 1})
    with pytest.raises(click.UsageError, match=r"threads=None\. Asked for: threads=1\."):
        record.is_done(tmp_path / "made.json", {"seed": 1, "threads": 1})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("7", "World 7 is not shipped; 0 to 3 are"),
        ("nowhere", "there is no nowhere/world.json"),
    ],
)
def test_a_world_that_is_not_there_is_refused(tmp_path: Path, name: str, said: str) -> None:
    result = run("playground-prm", "--world", name, "--output", tmp_path)
    assert result.exit_code == 2
    assert said in result.output.replace("\n", " ")
