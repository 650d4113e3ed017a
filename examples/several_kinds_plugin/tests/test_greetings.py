import click
from click.testing import CliRunner
from tgdpo_greetings import hello, register_commands
from tgdpo_greetings.data import Greetings
from tgdpo_greetings.judges import Short, Sure
from tgdpo_greetings.weighting import Quadratic, Squash

from tgdpo_core.testing import (
    DatasetContract,
    JudgeContract,
    ShapingContract,
    TransformContract,
)


class TestShort(JudgeContract):
    plugin = Short(words=3)


class TestSure(JudgeContract):
    plugin = Sure(nats=0.5)


class TestGreetings(DatasetContract):
    plugin = Greetings()


class TestSquash(TransformContract):
    plugin = Squash(limit=1.0)


class TestQuadratic(ShapingContract):
    plugin = Quadratic(alpha=0.25)


def test_the_command_greets() -> None:
    group = click.Group("tgdpo")
    register_commands(group)
    assert set(group.commands) == {"hello"}
    assert CliRunner().invoke(hello, ["--name", "Ada"]).output == "Hello Ada!\n"
