"""With --json every command prints one JSON document on stdout, and nothing else there."""

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tgdpo_cli.evaluate_modes import MODES
from tgdpo_cli.main import COMMANDS, cli

# Commands whose documents have tests of their own, since they need a trained run or marked rows.
_ELSEWHERE = {"merge", "train-prm", "bench reward", "pairs", "import"}
_PAIRS = "--model {model} --dataset {rows} --reward-plugin random --set training.use_cpu=true"
RUNS = {
    "train": f"{_PAIRS} --set training.max_steps=1 --output-dir {{folder}}/run",
    "score": f"{_PAIRS} --describe",
    "validate": _PAIRS,
    "inspect": f"{_PAIRS} --limit 1",
    "generate": "{model} --prompts {rows} --max-new-tokens 2 --output {folder}/answers.jsonl",
    "export": "alpaca-eval {model} --prompts {questions} --max-new-tokens 2"
    " --output-dir {folder}/benchmark",
    "report": "{run}",
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
    assert not lacking


def test_every_command_says_the_same_of_it() -> None:
    modes = [importlib.import_module(module).command for module in MODES.values()]
    said = {
        parameter.help
        for command in [*(command for _, command in leaves()), *modes]
        for parameter in command.params
        if isinstance(parameter, click.Option) and "--json" in parameter.opts
    }
    assert said == {"Print one JSON document; all else goes to stderr."}


def test_every_command_is_tried_here_or_elsewhere() -> None:
    names = {name for name, _ in leaves()}
    assert names == {*RUNS, *_ELSEWHERE} - {"plugins", "recipes"}


@pytest.fixture(scope="module")
def invoke(
    rows_file: Path, model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Any]:
    """A function that runs a command with arguments in which places are filled."""
    folder = tmp_path_factory.mktemp("json")
    trl = folder / "trl.yaml"
    trl.write_text("model_name_or_path: m\ndataset_name: d\n")
    questions = folder / "questions.json"
    questions.write_text(json.dumps([{"instruction": "Name a tree.", "dataset": "own"}]))
    run = folder / "done"
    run.mkdir()
    (run / "run.json").write_text('{"status": "done"}')
    places = {"model": model_folder, "rows": rows_file, "folder": folder, "trl": trl}
    places |= {"questions": questions, "run": run}

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

    document = json.loads(done.stdout, parse_constant=no_constant)
    assert isinstance(document, dict)
    assert document
    for place in ("file", "folder"):
        assert Path(document.get(place) or ".").exists()


@pytest.mark.parametrize(
    ("view", "written"),
    [("", None), ("--html {folder}/t.html", "t.html"), ("--pages {folder}/p", "p/index.html")],
)
def test_inspect_has_every_token_with_its_values(
    view: str, written: str | None, invoke: Callable[[str, str], Any], small_rows: Any
) -> None:
    done = invoke("inspect", f"{_PAIRS} --rows 3,0 {view}")
    assert done.exit_code == 0, (done.stderr, done.exception)
    found = json.loads(done.stdout)
    assert ("file" in found) == (written is not None)
    assert written is None or found["file"].endswith(written)
    if view.startswith("--pages"):
        assert found["num_pairs"] == 2
        return
    assert [pair["number"] for pair in found["pairs"]] == [3, 0]
    assert found["facts"]["reward"].startswith("random(")
    for pair in found["pairs"]:
        row = small_rows[pair["number"]]
        for side, sign in (("chosen", 1), ("rejected", -1)):
            tokens = pair[side]["tokens"]
            assert "".join(token["text"] for token in tokens) == row[side]
            for token in tokens:
                assert row[side][token["start"] : token["end"]] == token["text"]
                assert token["weight"] == pytest.approx(1 + sign * 0.5 * token["reward"])
                assert token["reference_logp"] < 0


def test_a_browser_that_goes_on_has_no_json(invoke: Callable[[str, str], Any]) -> None:
    done = invoke("inspect", f"{_PAIRS} --serve")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--serve goes on until it is stopped" in done.stderr


def test_an_export_counts_the_answers_of_every_model(invoke: Callable[[str, str], Any]) -> None:
    command = "alpaca-eval {model} {model} --name a --name b --prompts {questions}"
    done = invoke("export", f"{command} --max-new-tokens 2 --output-dir {{folder}}/two")
    found = json.loads(done.stdout)
    assert [each["model"] for each in found["models"]] == ["a", "b"]
    for each in found["models"]:
        assert each["counts"] | {"answers": 1, "questions": 1} == each["counts"]
        assert Path(each["file"]).is_file()


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
