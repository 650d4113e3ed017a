"""``tgdpo plugins check``: a line a check, and exit code 4 where one fails."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tgdpo_cli.main import cli, run

Check = Callable[..., tuple[int, str, str]]

SHOUTING = """
from tgdpo_core import Spans, TokenReward, hookimpl, option

class Shouting(TokenReward):
    "Minus `penalty` on every upper-case letter."
    penalty: float = option(1.0, help="what a letter costs")
    def score(self, batch):
        return [
            Spans([(i, i + 1, -self.penalty) for i, c in enumerate(e.response) if c.isupper()])
            for e in batch
        ]

class Short(TokenReward):
    "One value too few."
    def score(self, batch):
        return [[0.0] * (len(e.response_ids) - 1) for e in batch]

@hookimpl
def register_token_rewards(register):
    register("shouting", Shouting)
    register("short", Short)
"""


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """A function that checks a plugin and returns exit code, stdout and stderr."""
    file = tmp_path / "mine.py"
    file.write_text(SHOUTING)

    def call(*arguments: str) -> tuple[int, str, str]:
        command = ["--plugin-file", str(file), "plugins", "check", *arguments]
        code = run(lambda: cli.main(command, prog_name="tgdpo", standalone_mode=False))
        return code, *capsys.readouterr()

    return call


def test_a_plugin_that_keeps_its_contract_has_a_line_ok_for_every_check(check: Check) -> None:
    code, out, _ = check("shouting", "--arg", "penalty=2")
    title, *lines, cost = out.splitlines()
    assert (code, len(lines)) == (0, 14)
    assert re.fullmatch(r"  asked \d+ times about \d+ responses in all", cost)
    assert title.startswith("token-reward 'shouting' (")
    assert all(line.startswith("  ok      it") for line in lines)
    assert "  ok      its values do not depend on the batch" in lines


def test_a_broken_contract_says_why_once_and_ends_with_code_4(check: Check) -> None:
    code, out, error = check("short")
    assert code == 4
    assert out.count("off by one: shifted log-probs, or EOS left out?") == 1
    assert "  FAILED  its values do not depend on the batch: as above" in out.splitlines()
    assert "fails 5 of 14 checks" in error


def test_json_has_every_check_with_its_failure(check: Check) -> None:
    code, out, _ = check("short", "--json")
    (found,) = json.loads(out)["plugins"]
    failures = {result["check"]: result["failure"] for result in found["checks"]}
    assert code == 4
    assert failures["it is documented"] is None
    assert "off by one" in failures["its values do not depend on the batch"]


def test_an_option_that_the_plugin_does_not_have_is_refused(check: Check) -> None:
    code, _, error = check("shouting", "--arg", "penatly=2")
    assert code == 4
    assert "Did you mean 'penalty'" in error


def test_a_plugin_made_for_certain_data_is_checked_on_them(check: Check) -> None:
    code, _, error = check("playground-oracle")
    assert code == 4
    assert "--dataset" in error
    data = ["--dataset", "playground", "--split", "test", "--model", "playground"]
    assert check("playground-oracle", *data)[0] == 0


def test_data_for_a_kind_that_needs_none_are_refused(check: Check) -> None:
    code, _, error = check("linear", "--dataset", "playground")
    assert code == 2
    assert "--dataset for a shaping" in error


def test_an_unknown_name_is_answered_with_the_nearest_one(check: Check) -> None:
    code, _, error = check("shoutign")
    assert code == 4
    assert "Did you mean 'shouting'" in error
