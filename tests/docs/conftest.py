"""The scripts of the site lie beside its pages, not in a package."""

from collections.abc import Callable
from pathlib import Path

import click
import pytest

from tgdpo_cli.main import Session, cli

SCRIPTS = Path(__file__).parents[2] / "docs" / "_site"


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test import the scripts by name, and see the built-in plugins only."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setenv("TGDPO_LOAD_PLUGINS", "")


@pytest.fixture(scope="session")
def read() -> Callable[[list[str]], click.Context]:
    """A function that parses a command line."""
    return parsed


def parsed(arguments: list[str]) -> click.Context:
    """Parse a command line down to the command that would run; a UsageError if it does not fit."""
    command: click.Command = cli
    ctx: click.Context | None = None
    name: str | None = "tgdpo"
    while True:
        ctx = command.make_context(name, list(arguments), parent=ctx, obj=Session())
        if not isinstance(command, click.Group) or not ctx._protected_args + ctx.args:
            return ctx
        name, inner, arguments = command.resolve_command(ctx, ctx._protected_args + ctx.args)
        assert inner is not None
        command = inner
