"""With --json every command prints one JSON document on stdout, and nothing else there."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tgdpo_cli.main import COMMANDS, cli

# Commands whose documents have tests of their own, since they need a trained run or marked rows.
_ELSEWHERE = {"merge", "train-prm", "bench reward", "pairs"}
_PAIRS = "--model {model} --dataset {rows} --reward-plugin random --set training.use_cpu=true"
RUNS = {
    "train": f"{_PAIRS} --set training.max_steps=1 --output-dir {{folder}}/run",
    "score": f"{_PAIRS} --describe",
    "validate": _PAIRS,
    "evaluate": "{model} --dataset {rows} --split train --judge likelihood",
    "ablate": "--config playground --reward-plugin random --dry-run",
    "exact": "--vocabulary 3 --horizon 2 --worlds 1 --beta 0.5",
    "convert": "{trl}",
    "doctor": "",
    "store list": "",
    "store explain": "{key}",
    "store verify": "",
    "store prune": "--unwritten-for 1",
    "store adopt": "{key} {key}",
    "plugins": "",
    "plugins list": "",
    "plugins show": "random",
    "plugins check": "linear",
    "plugins new": "transform mine --output {folder}",
    "recipes": "",
    "recipes list": "",
    "recipes show": "playground",
    "recipes copy": "playground {folder}/copy.yaml",
    "recipes schema": "",
}
_FAILS = {"store adopt": 2}  # a key is not adopted by itself: nothing on stdout then


def leaves() -> Iterator[tuple[str, click.Command]]:
    """Yield every built-in command without commands of its own."""
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command
        if isinstance(command, click.Group):
            for inner, each in command.commands.items():
                yield f"{name} {inner}", each
        else:
            yield name, command


def test_every_command_takes_it() -> None:
    lacking = [
        name for name, command in leaves() if not any("--json" in p.opts for p in command.params)
    ]
    assert set(lacking) <= {
        "inspect",
        "export",
    }  # they write files


def test_every_command_is_tried_here_or_elsewhere() -> None:
    names = {name for name, _ in leaves()}
    assert names <= {*RUNS, *_ELSEWHERE, *_OTHERS}, names


_OTHERS = {"inspect", "report", "generate", "export", "import"}  # tried with what they show


@pytest.fixture(scope="module")
def invoke(
    rows_file: Path, model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Any]:
    """A function that runs a command with arguments in which places are filled."""
    folder = tmp_path_factory.mktemp("json")
    trl = folder / "trl.yaml"
    trl.write_text("model_name_or_path: m\ndataset_name: d\n")
    places = {"model": model_folder, "rows": rows_file, "folder": folder, "trl": trl}

    def call(name: str, arguments: str) -> Any:
        if "{key}" in arguments:
            call("score", _PAIRS)
            listed = json.loads(CliRunner().invoke(cli, ["store", "list", "--json"]).stdout)
            places["key"] = listed["collections"][0]["key"]
        words = [word.format(**places) for word in arguments.split()]
        return CliRunner().invoke(cli, [*name.split(), *words, "--json"])

    return call


@pytest.mark.parametrize("name", list(RUNS))
def test_stdout_is_one_document(name: str, invoke: Callable[[str, str], Any]) -> None:
    done = invoke(name, RUNS[name])
    if name in _FAILS:
        assert (done.exit_code != 0, done.stdout) == (True, "")
        return
    assert done.exit_code == 0, (done.stderr, done.exception)

    def no_constant(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    assert json.loads(done.stdout, parse_constant=no_constant) not in (None, {}, [])


@pytest.mark.parametrize("group", ["plugins", "recipes", "store"])
def test_before_the_command_of_a_group_it_is_refused_with_the_right_place(group: str) -> None:
    done = CliRunner().invoke(cli, [group, "--json", "list"])
    assert done.exit_code == 2
    assert f"tgdpo {group} list --json" in done.stderr or f"{group} list --json" in done.stderr


def test_dry_run_of_training_is_one_document(invoke: Callable[[str, str], Any]) -> None:
    done = invoke("train", f"{_PAIRS} --dry-run --output-dir {{folder}}/dry")
    assert done.exit_code == 0, done.stderr
    assert {"model", "steps", "diagnostics"} <= json.loads(done.stdout).keys()


def test_validate_says_reward_shaping_and_loss_whole(invoke: Callable[[str, str], Any]) -> None:
    found = json.loads(invoke("validate", f"{_PAIRS} --reward-transform rms").stdout)
    (reward,) = found["reward"]
    assert (reward["name"], reward["options"]["seed"]) == ("random", 0)
    assert [each["name"] for each in reward["transforms"]] == ["rms"]
    assert found["shaping"]["name"] == "linear"
    assert found["shaping"]["options"]["alpha"] == 0.5
    assert (found["loss"]["name"], found["loss"]["beta"]) == ("sigmoid", 0.1)
