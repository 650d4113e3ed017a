"""S5, S6: what files and rows say cannot steer a terminal or a page."""

import json
import logging
from pathlib import Path

import pytest

from tgdpo_cli.main import _VisibleFormatter, cli, run

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
    assert "\x1b" not in _VisibleFormatter("%(message)s").format(record)
