"""The playground: a data set, a base model, an exact token reward and a judge for trying things.

Importing it loads no torch. How the shipped files were made: ``playground/build.py``.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tgdpo_core import hookimpl
from tgdpo_plugins.playground.dataset import WORLDS, Playground
from tgdpo_plugins.playground.oracle import PlaygroundOracle
from tgdpo_plugins.playground.verifier import Verifier

if TYPE_CHECKING:
    import click

Register = Callable[[str, Any], None]


@hookimpl
def register_token_rewards(register: Register) -> None:
    """Register the exact reward of playground answers."""
    register("playground-oracle", PlaygroundOracle)


@hookimpl
def register_datasets(register: Register) -> None:
    """Register the playground's worlds; ``playground`` is world 0."""
    register("playground", Playground)
    for number, world in enumerate(WORLDS):
        register(f"playground-{number}", world)


@hookimpl
def register_judges(register: Register) -> None:
    """Register the exact checker as a judge."""
    register("verifier", Verifier)


@hookimpl
def register_commands(cli: "click.Group") -> None:
    """Add the commands that prepare experiments."""
    from tgdpo_plugins.playground import build, train_prm

    cli.add_command(build.main)
    cli.add_command(train_prm.main)
