"""What commands say of the data: after tokenization, once, with shares; too much is an error."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgdpo_cli.main import cli, run

Tgdpo = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tgdpo(capsys: pytest.CaptureFixture[str], model_folder: Path, tmp_path: Path) -> Tgdpo:
    """A function that runs a command on rows; returns exit code, stdout and stderr."""

    def call(command: str, *more: str, rows: list[dict[str, Any]]) -> tuple[int, str, str]:
        data = tmp_path / "rows.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        arguments = [command, "--model", str(model_folder), "--dataset", str(data), *more]
        code = run(lambda: cli.main(arguments, prog_name="tgdpo", standalone_mode=False))
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def rows(count: int = 10, **first: str) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [
        {"prompt": f"What is {i}?\n", "chosen": "A cat.", "rejected": f"No, {i}."}
        for i in range(count)
    ]
    made[0] |= first
    return made


LONG = " She sells sea shells." * 20
COMMANDS = {
    "score": (),
    "inspect": ("--rows", "0"),
    "train": ("--set", "training.use_cpu=true", "--set", "training.save_strategy=no"),
    "train --dry-run": ("--dry-run", "--set", "training.use_cpu=true"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_tokenization_changed_is_said_once(command: str, tgdpo: Tgdpo, tmp_path: Path) -> None:
    more = (*COMMANDS[command], "--output-dir", str(tmp_path / "run"))
    changed = rows(chosen=f"A </s> mark.{LONG}")
    code, out, err = tgdpo(command.split()[0], *more, "--set", "data.max_length=64", rows=changed)
    assert code == 0, err
    assert out.count("10 pairs of 10 rows") == 1
    assert out.count("chosen_truncated: 1 (10.0% of pairs)") == 1
    assert out.count("special_tokens_in_text: 1 (10.0% of pairs)") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_too_large_a_share_ends_with_exit_code_3_and_the_setting(
    command: str, tgdpo: Tgdpo, tmp_path: Path
) -> None:
    more = (*COMMANDS[command], "--output-dir", str(tmp_path / "run"))
    cut = [{**row, "chosen": LONG} for row in rows()]
    limit = ("--set", "data.max_length=64")
    code, out, err = tgdpo(command.split()[0], *more, *limit, rows=cut)
    assert code == 3
    assert "chosen_truncated: 10 (100.0% of pairs)" in out
    assert "truncated: 10 of 20 responses (50.0%, first in rows.jsonl:1, rows.jsonl:2" in err
    assert "--set data.max_shares.truncated=0.51" in err
    assert not (tmp_path / "run" / "run.json").exists()


def test_the_setting_that_the_error_names_lets_the_run_pass(tgdpo: Tgdpo) -> None:
    cut = [{**row, "chosen": LONG} for row in rows()]
    allow = ("--set", "data.max_shares.truncated=0.51", "--set", "data.max_length=64")
    code, out, _ = tgdpo("score", *allow, rows=cut)
    assert code == 0
    assert "chosen_truncated: 10 (100.0% of pairs)" in out


def test_variables_of_a_chat_template_are_refused_for_text(tgdpo: Tgdpo) -> None:
    set_ = ("--set", "data.chat_template_kwargs={enable_thinking: false}")
    code, _, err = tgdpo("validate", *set_, rows=rows())
    assert code == 2
    assert "data.chat_template_kwargs: no effect: the rows are text" in err


def test_validate_says_what_it_did_not_look_at(tgdpo: Tgdpo) -> None:
    code, out, _ = tgdpo("validate", rows=rows())
    assert code == 0
    assert "Not looked at: lengths, chat template, special tokens" in out


def test_options_of_plugins_stay_on_their_line(tgdpo: Tgdpo, model_folder: Path) -> None:
    reward = ("--reward-plugin", "induced", "--reward-arg", f"model={model_folder}")
    code, out, _ = tgdpo("validate", *reward, "--reward-arg", "reference=x/y", rows=rows())
    assert code == 0
    (line,) = (line for line in out.splitlines() if line.startswith("Reward: "))
    assert 'step_separator="\\n"' in line
