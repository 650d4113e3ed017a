"""S5, S6: what files and rows say cannot steer a terminal or a page."""

import json
import logging
import re
from pathlib import Path

import pytest

from tgdpo_cli.log_lines import VisibleFormatter
from tgdpo_cli.main import cli, run

CLI = Path(__file__).parents[2] / "cli" / "tgdpo_cli"
STEER = "\x1b[2J\x1b]0;pwned\x07\u202e"


def validate(dataset: Path) -> int:
    arguments = ["validate", "--model", "playground", "--dataset", str(dataset)]
    return run(lambda: cli.main(arguments, standalone_mode=False))


def test_S6_a_key_of_a_row_and_a_file_name_are_shown_as_escapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"pairs{STEER}.jsonl"
    row = {"prompt": "p", "chosen": "a", f"rejected{STEER}": "b"}
    path.write_text(json.dumps(row) + "\n")
    assert validate(path) == 3
    said = capsys.readouterr()
    assert not set(said.out + said.err) & set(STEER[:1] + "\x07\u202e")
    assert r"\x1b[2J" in said.err


def test_S6_a_good_file_with_such_a_name_is_shown_as_escapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"pairs{STEER}.jsonl"
    path.write_text(json.dumps({"prompt": "p", "chosen": "a", "rejected": "b"}) + "\n")
    assert validate(path) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_S6_log_lines_are_shown_as_escapes() -> None:
    record = logging.LogRecord("x", logging.WARNING, "x.py", 1, "row %s", (STEER,), None)
    assert "\x1b" not in VisibleFormatter("%(message)s").format(record)


@pytest.mark.checkout
def test_S6_commands_print_by_the_one_function_that_escapes() -> None:
    """What is printed elsewhere is known: JSON, tables and recipes that come along."""
    raw = {
        path.name: len(re.findall(r"click\.echo\(|tqdm\.write\((?!printable)", path.read_text()))
        for path in CLI.rglob("*.py")
    }
    assert {name for name, count in raw.items() if count} == {"main.py", "output.py", "recipes.py"}


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Return the exit code of a command and all that it printed."""
    code = run(lambda: cli.main(arguments, standalone_mode=False))
    captured = capsys.readouterr()
    return code, captured.out + captured.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", f"x{STEER}", "--dataset", "playground", "--judge", "verifier"),
        ("evaluate", "playground", "--dataset", f"x{STEER}.jsonl", "--judge", "verifier"),
        ("evaluate", "playground", "--dataset", "playground", "--judge", f"x{STEER}"),
        ("evaluate", "a", "--dataset", "b", "--judge", "likelihood", "--columns", f"x{STEER}"),
        ("plugins", "show", f"x{STEER}"),
        ("plugins", f"x{STEER}"),
        (f"x{STEER}",),
        ("ablate", "--config", f"x{STEER}.yaml", "--output-dir", "y"),
        ("train", "--set", f"x{STEER}=1"),
        ("store", "explain", f"x{STEER}"),
        ("doctor", f"x{STEER}"),
        ("inspect", f"x{STEER}"),
        ("recipes", "show", f"x{STEER}"),
    ],
)
def test_S6_a_name_that_is_refused_is_quoted_with_escapes(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = said(capsys, *arguments)
    assert code in {2, 3, 4}
    assert r"\x1b]0;" in text
    assert not set(text) & set(STEER[:1] + "\x07\u202e")


def test_S6_what_a_broken_plugin_and_a_documented_one_say_is_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "steering.py"
    plugin.write_text(
        "from tgdpo_core import TokenReward, hookimpl, option\n"
        "class Steering(TokenReward):\n"
        f"    {('Says ' + STEER)!r}\n"
        f"    gain: float = option(1.0, help={STEER!r})\n"
        "    def score(self, batch):\n"
        "        return [[0.0] * len(e.response_ids) for e in batch]\n"
        "@hookimpl\n"
        "def register_token_rewards(register):\n"
        "    register('steering', Steering)\n"
    )
    for arguments in (("list",), ("show", "steering")):
        code, text = said(capsys, "--plugin-file", str(plugin), "plugins", *arguments)
        assert code == 0
        assert r"\x1b[2J" in text
        assert "\x1b" not in text


def test_S6_the_traceback_of_a_bug_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise AssertionError(STEER)

    assert run(command) == 1
    text = capsys.readouterr().err
    assert "This is a bug" in text
    assert "\x1b" not in text
