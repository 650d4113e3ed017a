"""Bad input ends with a clear message and the right exit code, and breaks no later run."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgdpo_cli.main import cli, run

GOOD = {"prompt": "What is it?\n", "chosen": "It is a cat.", "rejected": "It is a dog."}
Tgdpo = Callable[..., tuple[int, str]]


@pytest.fixture
def tgdpo(capsys: pytest.CaptureFixture[str]) -> Tgdpo:
    """A function that runs the command line and returns exit code and what stderr said."""

    def call(*arguments: str) -> tuple[int, str]:
        code = run(lambda: cli.main([*arguments], prog_name="tgdpo", standalone_mode=False))
        return code, capsys.readouterr().err

    return call


@pytest.fixture
def data(tmp_path: Path) -> Callable[..., str]:
    """A function that writes rows (or text) to a file."""

    def write(*rows: Any, name: str = "pairs.jsonl") -> str:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(tmp_path / name)

    return write


def bad(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**GOOD, **changes}.items() if value != "missing"}


CHAT = [{"role": "user", "content": "Hi"}]
ROWS: dict[str, tuple[Any, str]] = {
    "missing field": (bad(rejected="missing"), r"pairs.jsonl:2: no field 'rejected'"),
    "misspelt field": (
        {"prompt": "a", "chosen": "b", "reject": "c"},
        r"no field 'rejected'. Did you mean 'reject'",
    ),
    "null": (bad(chosen=None), r"'chosen' must be text or messages, found nothing \(null\)"),
    "number": (bad(rejected=3), r"'rejected' must be text or messages, found int"),
    "empty response": (bad(chosen=""), r"pairs.jsonl:2: 'chosen' is empty"),
    "equal responses": (bad(rejected=GOOD["chosen"]), r"'chosen' and 'rejected' are equal"),
    "text and messages": (
        {"prompt": CHAT, "chosen": [{"role": "assistant", "content": "a"}]}
        | {"rejected": [{"role": "assistant", "content": "b"}]},
        r"pairs.jsonl:2: the row holds messages, pairs.jsonl:1 holds text",
    ),
    "message without content": (
        {"prompt": CHAT, "chosen": [{"role": "assistant", "text": "a"}], "rejected": CHAT},
        r"'chosen\[0\]' has no 'content'",
    ),
    "bad JSON": ('{"prompt": "a", ', r"pairs.jsonl:2: not valid JSON"),
    "not an object": ("[1, 2]", r"pairs.jsonl:2: expected a JSON object, found list"),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_bad_row_is_named_with_file_and_line(
    tgdpo: Tgdpo, data: Callable[..., str], model_folder: Path, case: str
) -> None:
    row, message = ROWS[case]
    path = data(GOOD, row, GOOD)
    code, error = tgdpo("validate", "--model", str(model_folder), "--dataset", path)
    assert code == 3, error
    assert re.search(message, error), error


def test_bad_rows_can_be_left_out_and_are_counted(
    tgdpo: Tgdpo, data: Callable[..., str], model_folder: Path, capsys: Any
) -> None:
    path = data(GOOD, bad(chosen=""), GOOD)
    command = ["validate", "--model", str(model_folder), "--dataset", path, "--json"]
    code = run(lambda: cli.main([*command, "--set", "data.on_bad_row=skip"], standalone_mode=False))
    report = json.loads(capsys.readouterr().out)["data"]
    assert code == 0
    counts = {"empty": 1, "duplicate": 1}
    assert (report["rows"], report["pairs"], report["counts"]) == (3, 2, counts)


PLUGINS: dict[str, tuple[str, str]] = {
    "raises": ("1 / 0", "ZeroDivisionError"),
    "count": ("return []", r"returned 0 results for \d+ examples"),
    "length": (
        "return [[0.0] * (len(e.response_ids) + 1) for e in batch]",
        r"got \d+ values for \d+ response tokens \(off by one",
    ),
    "prompt": (
        "return [[0.0] * (len(e.prompt_ids) + len(e.response_ids)) for e in batch]",
        "that is prompt \\+ response",
    ),
    "NaN": ("return [[float('nan')] * len(e.response_ids) for e in batch]", "not finite"),
    "gradient": (
        "import torch; return [torch.zeros(len(e.offsets), requires_grad=True) for e in batch]",
        "carry gradients",
    ),
    "column": ("return [e.columns['nothing'] for e in batch]", "KeyError"),
}
SOURCE = """
from tgdpo_core import TokenReward, hookimpl

class Broken(TokenReward):
    "A reward that is wrong."
    def score(self, batch):
        {body}

@hookimpl
def register_token_rewards(register):
    register("broken", Broken)
"""


@pytest.mark.parametrize("case", PLUGINS)
def test_a_wrong_plugin_is_named_with_the_row_and_the_mended_run_goes_through(
    tgdpo: Tgdpo, data: Callable[..., str], model_folder: Path, tmp_path: Path, case: str
) -> None:
    body, message = PLUGINS[case]
    plugin = tmp_path / "broken.py"
    plugin.write_text(SOURCE.format(body=body))
    command = ["--plugin-file", str(plugin), "train", "--model", str(model_folder)]
    command += ["--dataset", data(GOOD, GOOD | {"prompt": "And now?\n"})]
    command += ["--output-dir", str(tmp_path / "run"), "--reward-plugin", "broken"]
    command += ["--set", "training.max_steps=1", "--set", "training.use_cpu=true"]
    code, error = tgdpo(*command)
    assert code == 4, error
    assert re.search(r"token reward 'broken'.*pairs.jsonl:\d", error, re.S), error
    assert re.search(message, error), error
    plugin.write_text(SOURCE.format(body="return [[0.5] * len(e.response_ids) for e in batch]"))
    code, error = tgdpo(*command)
    assert code == 0, error
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "done"


USAGE: dict[str, tuple[list[str], int, str]] = {
    "unknown command": (["trian"], 2, "Unknown command 'trian'. Did you mean 'train'"),
    "unknown option": (["validate", "--datset", "x"], 2, "No such option"),
    "unknown recipe": (["validate", "--config", "playgroun"], 2, "Did you mean 'playground'"),
    "missing recipe file": (["validate", "--config", "no/such.yaml"], 2, "no such file"),
    "unknown key": (["validate", "--set", "loss.beat=1"], 2, "Did you mean 'beta'"),
    "not key=value": (["validate", "--set", "loss.beta"], 2, "expected section.key=value"),
    "missing data file": (["validate", "--dataset", "./no.jsonl"], 3, "no such file"),
    "unknown plugin": (["validate", "--reward-plugin", "indcued"], 4, "Did you mean 'induced'"),
    "unknown shaping": (["validate", "--shaping", "linaer"], 4, "Did you mean 'linear'"),
    "unknown plugin option": (
        ["validate", "--reward-plugin", "random", "--reward-arg", "sede=1"],
        4,
        "has no option 'sede'. Did you mean 'seed'",
    ),
    "missing plugin option": (
        ["validate", "--reward-plugin", "induced"],
        4,
        "needs the option 'model'",
    ),
    "unknown transform": (
        ["validate", "--reward-transform", "clpi:max=1"],
        4,
        "Did you mean 'clip'",
    ),
    "model folder": (["validate", "--model", "./nothing"], 2, "no such folder"),
    "resume and overwrite": (
        ["train", "--resume", "--overwrite"],
        2,
        "exclude each other",
    ),
}


@pytest.mark.parametrize("case", USAGE)
def test_a_usage_mistake_is_answered_with_what_is_allowed(
    tgdpo: Tgdpo, rows_file: Path, model_folder: Path, case: str
) -> None:
    arguments, expected, message = USAGE[case]
    defaults = {"--dataset": str(rows_file), "--model": str(model_folder)}
    if arguments[0] in ("validate", "train"):
        for flag, value in defaults.items():
            if flag not in arguments and "--datset" not in arguments:
                arguments = [*arguments, flag, value]
    code, error = tgdpo(*arguments)
    assert code == expected, error
    assert message in error


def test_a_prompt_longer_than_the_limit_is_named(
    tgdpo: Tgdpo, data: Callable[..., str], model_folder: Path, tmp_path: Path
) -> None:
    long = GOOD | {"prompt": "What is it? " * 50}
    command = ["train", "--model", str(model_folder), "--dataset", data(GOOD, long)]
    command += ["--output-dir", str(tmp_path / "run"), "--set", "data.max_length=64"]
    code, error = tgdpo(*command)
    assert code == 3
    assert "pairs.jsonl:2: the prompt has" in error
    assert not (tmp_path / "run").exists()


def test_a_reward_model_with_another_tokenizer_is_refused(
    tgdpo: Tgdpo, rows_file: Path, model_folder: Path, tmp_path: Path
) -> None:
    from tgdpo_plugins.playground.dataset import Playground

    command = ["train", "--model", str(model_folder), "--dataset", str(rows_file)]
    command += ["--output-dir", str(tmp_path / "run"), "--reward-plugin", "induced"]
    command += ["--reward-arg", f"model={Playground.model}"]
    code, error = tgdpo(*command)
    assert code == 4
    assert "differs from the policy's" in error


def test_a_folder_that_holds_a_run_is_not_overwritten_unasked(
    tgdpo: Tgdpo, rows_file: Path, model_folder: Path, tmp_path: Path
) -> None:
    command = ["train", "--model", str(model_folder), "--dataset", str(rows_file)]
    command += ["--output-dir", str(tmp_path / "run"), "--set", "training.max_steps=1"]
    command += ["--set", "training.use_cpu=true"]
    assert tgdpo(*command)[0] == 0
    code, error = tgdpo(*command)
    assert code == 2
    assert "holds a run already (status: done)" in error
    assert tgdpo(*command, "--overwrite")[0] == 0
