"""Options that several commands share, added to each in one line."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tgdpo_core.models.loading import Trust

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def option_set(options: Sequence[Decorator]) -> Decorator:
    """Return a decorator that adds options to a command, in their order."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return add


trust_options = option_set(
    [
        click.option(
            "--trust-remote-code", is_flag=True, help="Run code that model repositories bring."
        ),
        click.option("--allow-pickle", is_flag=True, help="Read weights that are not safetensors."),
    ]
)
"""What the files of models may do; their values go to ``trust_of``."""


def trust_of(values: "Mapping[str, Any]") -> "Trust":
    """Return what the options of ``trust_options`` allow."""
    from tgdpo_core.models.loading import Trust

    return Trust(values["trust_remote_code"], values["allow_pickle"])


def refuse_given(parameters: Sequence[str], why: str) -> None:
    """Raise ``UsageError`` for an option on the command line that would have no effect."""
    from click.core import ParameterSource

    context = click.get_current_context()
    flags = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    for name in parameters:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{flags[name]}: {why}")
