"""Worlds for trying things: the playground (data, base model, exact token reward, judge), and mood.

Importing it loads no torch. How the shipped files were made: ``playground/build.py``.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tgdpo_core import hookimpl
from tgdpo_plugins.mood import Mood, MoodOracle, MoodPrompts
from tgdpo_plugins.playground.dataset import WORLDS, Playground
from tgdpo_plugins.playground.oracle import PlaygroundOracle
from tgdpo_plugins.playground.verifier import Verifier

if TYPE_CHECKING:
    import click

Register = Callable[[str, Any], None]


@hookimpl
def register_token_rewards(register: Register) -> None:
    """Register the exact rewards."""
    register("playground-oracle", PlaygroundOracle)
    register("mood-oracle", MoodOracle)


@hookimpl
def register_datasets(register: Register) -> None:
    """Register mood's prompts and the playground's worlds; ``playground`` is world 0."""
    register("mood-prompts", MoodPrompts)
    register("playground", Playground)
    for number, world in enumerate(WORLDS):
        register(f"playground-{number}", world)


@hookimpl
def register_judges(register: Register) -> None:
    """Register the exact judges."""
    register("verifier", Verifier)
    register("mood", Mood)


@hookimpl
def register_commands(cli: "click.Group") -> None:
    """Add the commands that prepare experiments."""
    from tgdpo_plugins.playground import build, train_prm

    cli.add_command(build.main)
    cli.add_command(train_prm.main)
