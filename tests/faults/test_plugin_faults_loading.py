"""P11-P13: a plugin that cannot be loaded; it stops no command that does not use it."""

import json
from collections.abc import Callable

import pytest

Install = Callable[..., str]
Command = Callable[..., tuple[int, str]]

GOOD = """
from tgdpo_core import TokenReward, hookimpl

class Caps(TokenReward):
    "A reward."
    def score(self, batch):
        return [[0.5] * len(e.response_ids) for e in batch]

@hookimpl
def register_token_rewards(register):
    register("caps", Caps)
"""

BROKEN = {
    "P11 an import that fails": ("import no_such_module", "No module named 'no_such_module'"),
    "P11 a module that raises": ("1 / 0", "ZeroDivisionError"),
    "P12 a misspelt hook": (
        GOOD.replace("register_token_rewards", "register_token_reward"),
        "register_token_reward",
    ),
    "P12 a wrong signature": (
        GOOD.replace("(register)", "(register, more)"),
        "more",
    ),
    "P12 a name that cannot be one": (GOOD.replace('"caps"', '"Caps!"'), "Caps!"),
    "P13 another interface": ("TGDPO_API = 2\n" + GOOD, "plugin API 2"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_stops_no_command_that_does_not_use_it(
    install: Install, train: Command, case: str
) -> None:
    install(BROKEN[case][0])
    code, error = train("--reward-plugin", "random")
    assert code == 0, error


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_named_with_its_reason_where_it_is_used(
    install: Install, score: Command, case: str
) -> None:
    source, reason = BROKEN[case]
    distribution = install(source)
    code, error = score(reward="caps")
    assert code == 4, error
    assert distribution.split()[0] in error
    assert reason in error


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_listed(
    install: Install, tgdpo: Command, capfd: pytest.CaptureFixture[str], case: str
) -> None:
    from tgdpo_cli.main import cli, run

    source, reason = BROKEN[case]
    install(source)
    assert run(lambda: cli.main(["plugins"], standalone_mode=False)) == 0
    listed = capfd.readouterr().out
    assert "BROKEN" in listed
    assert reason in listed


def test_P12_two_plugins_with_one_name_are_both_named(install: Install, score: Command) -> None:
    install(GOOD, name="tgdpo-one")
    install(GOOD + "\n", name="tgdpo-two")
    code, error = score(reward="caps")
    assert code == 4
    assert "tgdpo-one" in error
    assert "tgdpo-two" in error


def test_P12_a_built_in_name_cannot_be_taken(install: Install, score: Command) -> None:
    install(GOOD.replace('"caps"', '"random"'))
    code, error = score(reward="random")
    assert code == 0, error


def test_a_plugin_that_imports_torch_at_its_top_is_told_by_check(
    install: Install, capfd: pytest.CaptureFixture[str]
) -> None:
    from tgdpo_cli.main import cli, run

    install("import torch\n" + GOOD)
    code = run(lambda: cli.main(["plugins", "check", "caps", "--json"], standalone_mode=False))
    checks = json.loads(capfd.readouterr().out)["plugins"][0]["checks"]
    failed = [check for check in checks if check["failure"]]
    assert code == 4
    assert len(failed) == 1
    assert "torch" in failed[0]["failure"]
