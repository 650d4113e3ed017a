"""A package with plugins of several kinds."""

from collections.abc import Callable
from typing import Any

import click

from tgdpo_core import hookimpl
from tgdpo_greetings.commands import hello
from tgdpo_greetings.data import Greetings
from tgdpo_greetings.judges import Short, Sure
from tgdpo_greetings.weighting import Quadratic, Squash

TGDPO_API = 1
Register = Callable[[str, Any], None]


@hookimpl
def register_judges(register: Register) -> None:
    """Tell tgdpo the names."""
    register("short", Short)
    register("sure", Sure)


@hookimpl
def register_datasets(register: Register) -> None:
    """Tell tgdpo the name."""
    register("greetings", Greetings)


@hookimpl
def register_transforms(register: Register) -> None:
    """Tell tgdpo the name."""
    register("squash", Squash)


@hookimpl
def register_shapings(register: Register) -> None:
    """Tell tgdpo the name."""
    register("quadratic", Quadratic)


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add the command."""
    cli.add_command(hello)
