"""Commands of the tutorials: each is read by the command line as it stands there."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tgdpo_cli.main import cli

DOCS = Path(__file__).parents[2] / "docs"
Read = Callable[[list[str]], click.Context]
_BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)

pytestmark = pytest.mark.checkout


def commands_of(text: str) -> list[list[str]]:
    lines = [
        line for block in _BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()
    ]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("tgdpo ")]


COMMANDS = [
    pytest.param(command, id=f"{page.stem}-{number}")
    for page in sorted((DOCS / "tutorials").glob("*.md"))
    for number, command in enumerate(commands_of(page.read_text(encoding="utf-8")), 1)
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_a_tutorial_is_one_of_the_command_line(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Read
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits.py").touch()
    assert read(command[1:]).command_path.startswith("tgdpo ")


@pytest.mark.parametrize(
    "line", ["tgdpo trian", "tgdpo train --lr 1", "tgdpo plugins shwo x", "tgdpo doctor a b"]
)
def test_a_command_that_does_not_exist_is_noticed(line: str, read: Read) -> None:
    with pytest.raises(click.UsageError):
        read(shlex.split(line)[1:])


def test_every_tutorial_has_commands() -> None:
    for page in (DOCS / "tutorials").glob("*.md"):
        assert commands_of(page.read_text(encoding="utf-8")), page.name


def test_the_reward_of_the_tutorial_keeps_its_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (DOCS / "tutorials" / "your-reward.md").read_text(encoding="utf-8")
    code = re.search(r"<!-- file: digits.py -->\n```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    (tmp_path / "digits.py").write_text(code[1], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    line = "tgdpo --plugin-file digits.py plugins check digits"
    assert line in text
    done = CliRunner().invoke(cli, shlex.split(line)[1:], catch_exceptions=False)
    assert done.exit_code == 0
    assert "ok" in done.output
    assert "FAILED" not in done.output
