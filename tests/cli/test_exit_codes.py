"""The last door of the command line: codes and lines for everything that is no bug."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from tgdpo_cli.main import cli, run

Tgdpo = Callable[..., tuple[int, str]]


@pytest.fixture
def tgdpo(capsys: pytest.CaptureFixture[str]) -> Tgdpo:
    """A function that runs the command line and returns exit code and what stderr said."""

    def call(*arguments: str) -> tuple[int, str]:
        code = run(lambda: cli.main([*arguments], prog_name="tgdpo", standalone_mode=False))
        return code, capsys.readouterr().err

    return call


def failing(error: BaseException) -> Callable[[], Any]:
    """Return a command that click runs and that raises."""

    @click.command()
    def command() -> None:
        raise error

    return lambda: command.main([], standalone_mode=False)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModuleNotFoundError("No module named 'wandb'", name="wandb"), 2),
        (ConnectionError("down"), 2),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 5),
        (EOFError("Ran out of input"), 5),
        (MemoryError(), 7),
    ],
)
def test_what_is_no_bug_is_one_line_with_its_code(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(failing(error)) == code
    said = capsys.readouterr().err
    assert said.lstrip().startswith("Error: ")
    assert "Traceback" not in said
    assert "bug in tgdpo" not in said


def test_a_bug_is_called_one_and_shows_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(failing(KeyError("x"))) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "This is a bug in tgdpo (KeyError)" in said


def test_ctrl_c_is_130_and_not_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(failing(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err.startswith("\nInterrupted.")


@pytest.fixture
def base(model_folder: Path, rows_file: Path, tmp_path: Path) -> list[str]:
    """The options of a command on the small model and the twelve pairs."""
    return [
        *("--model", str(model_folder), "--dataset", str(rows_file)),
        *("--output-dir", str(tmp_path / "run")),
    ]


@pytest.mark.parametrize("command", ["validate", "train"])
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("report_to=wandb", "pip install 'tgdpo[wandb]'"),
        ("use_liger_kernel=true", "pip install liger-kernel"),
        ("optim=galore_adamw", "pip install galore-torch"),
        ("learning_rate=-1", "'learning_rate' must be at least 0"),
        ("label_smoothing_factor=0.3", "set loss.label_smoothing"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_any_work(
    tgdpo: Tgdpo, base: list[str], tmp_path: Path, command: str, setting: str, said: str
) -> None:
    code, error = tgdpo(command, *base, "--set", f"training.{setting}")
    assert code == 2, error
    assert said in error
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "store").exists()


DENSE_PRM = ("--reward-plugin", "dense-prm", "--reward-arg", "preset=qwen-prm")


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--reward-plugin", "induced", "--reward-arg", "model=./nosuch"], 2, "no such folder"),
        (
            [*DENSE_PRM, "--reward-arg", "model=./nosuch"],
            2,
            "no such folder",
        ),
        (["--reference", "./nosuch"], 2, "no such folder"),
        (["--reward-plugin", "column", "--reward-arg", "chosen=scores"], 3, "column 'scores'"),
        (
            [
                *("--set", "data.eval_path=playground", "--set", "judging.judge=reward-model"),
                *("--set", "judging.args.model=./absent"),
            ],
            2,
            "Model './absent': no such folder",
        ),
        (["--model", "a\0b"], 2, "NUL"),
        (["--set", f"output_dir={'x' * 300}"], 2, "too long"),
    ],
)
def test_validate_sees_what_a_reward_would_miss(
    tgdpo: Tgdpo, base: list[str], options: list[str], code: int, said: str
) -> None:
    found, error = tgdpo("validate", *base, *options)
    assert found == code, error
    assert said in error


@pytest.mark.parametrize("flag", [[], ["--overwrite"], ["--resume"]])
def test_a_folder_that_holds_no_run_is_refused_before_data_is_read(
    tgdpo: Tgdpo, base: list[str], tmp_path: Path, flag: list[str]
) -> None:
    mine = tmp_path / "run" / "model" / "model.safetensors"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    (tmp_path / "bad.jsonl").write_text("no JSON\n")
    command = [*base, "--dataset", str(tmp_path / "bad.jsonl")]
    code, error = tgdpo("train", *command, *flag)
    assert code == 2, error
    assert "holds model and no run of tgdpo" in error
    assert mine.read_text() == "mine"


def test_an_occupied_folder_is_refused_before_data_is_read(
    tgdpo: Tgdpo, base: list[str], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps({"status": "done"}))
    code, error = tgdpo("train", *base, "--dataset", str(tmp_path / "absent.jsonl"))
    assert code == 2, error
    assert "holds a run already (status: done)" in error


def test_an_output_folder_that_is_a_file_is_refused(
    tgdpo: Tgdpo, base: list[str], tmp_path: Path
) -> None:
    (tmp_path / "run").write_text("mine")
    code, error = tgdpo("train", *base)
    assert code == 2, error
    assert "is a file" in error


def test_a_tilde_in_output_dir_is_the_home_folder(
    tgdpo: Tgdpo, base: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    settings = ("max_steps=1", "use_cpu=true", "save_strategy=no")
    options = [part for name in settings for part in ("--set", f"training.{name}")]
    code, error = tgdpo("train", *base, "--output-dir", "~/mine", *options)
    assert code == 0, error
    assert (tmp_path / "mine" / "model").is_dir()
    assert not (tmp_path / "~").exists()


PLUGIN = """
import dataclasses
from typing import TYPE_CHECKING
from tgdpo_core import TokenReward, hookimpl, option
if TYPE_CHECKING:
    from somewhere import Unknown

@dataclasses.dataclass(frozen=True)
class Frozen:
    size: int = 1

class Faulty(TokenReward):
    "A reward with a fault."
    {fields}
    def score(self, batch):
        {body}

@hookimpl
def register_token_rewards(register):
    register("faulty", Faulty)
"""
FAULTS = {
    "a constructor that raises KeyError": (
        "def __post_init__(self): raise KeyError('weights')",
        "pass",
        "KeyError: 'weights'",
    ),
    "a constructor that asserts": (
        "def __post_init__(self): assert False, 'no'",
        "pass",
        "AssertionError",
    ),
    "an annotation that nobody can resolve": (
        'size: "Unknown" = option(1, help="x")',
        "pass",
        "annotation of an option cannot be resolved",
    ),
    "a type that text cannot be checked against": (
        'size: "type(\'Odd\', (), {})" = option(None, help="x")',
        "pass",
        "no text can be checked against",
    ),
    "needs that cannot be told": ("def required(self): raise KeyError('x')", "pass", "requires"),
    "a sparse tensor": (
        "",
        "import torch; return [torch.zeros(len(e.response_ids)).to_sparse() for e in batch]",
        "sparse",
    ),
    "options that are refused late": (
        "def validate(self): raise ValueError('no such voice')",
        "pass",
        "no such voice",
    ),
    "a check that fails": ("def validate(self): raise KeyError('x')", "pass", "KeyError: 'x'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_ordinary_mistake_of_an_author_is_the_plugins_and_not_a_bug(
    tgdpo: Tgdpo, base: list[str], tmp_path: Path, fault: str
) -> None:
    fields, body, said = FAULTS[fault]
    plugin = tmp_path / "faulty.py"
    plugin.write_text(PLUGIN.format(fields=fields, body=body))
    arguments = ["--reward-arg", "size=1"] if "option(" in fields else []
    code, error = tgdpo(
        *("--plugin-file", str(plugin), "score", *base, "--reward-plugin", "faulty"), *arguments
    )
    assert code == 4, error
    assert said in error
    assert "'faulty'" in error
    assert str(plugin) in error


def test_a_frozen_dataclass_may_be_an_option(tgdpo: Tgdpo, base: list[str], tmp_path: Path) -> None:
    plugin = tmp_path / "faulty.py"
    fields = 'size: Frozen = option(None, help="x")'
    body = "return [[float(self.size.size)] * len(e.response_ids) for e in batch]"
    plugin.write_text(PLUGIN.format(fields=fields, body=body))
    command = ("--plugin-file", str(plugin), "validate", *base, "--reward-plugin", "faulty")
    code, error = tgdpo(*command, "--reward-arg", 'size={"size": 3}')
    assert code == 0, error
