"""Commands that plugins add to ``tgdpo``, with where they come from."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.hook_rules import NAME
from tgdpo_core.plugin_api.loading import Trace


@dataclass(frozen=True)
class PluginCommand:
    """A command and its plugin.

    Attributes:
        name: what is typed.
        command: of click.
        distribution: that brings it.
        version: of the distribution.
        summary: one line of help.
    """

    name: str
    command: Any
    distribution: str
    version: str
    summary: str

    @property
    def origin(self) -> str:
        """Distribution and version, or the file of ``--plugin-file``."""
        return f"{self.distribution} {self.version}".strip()


def commands_of(
    group: Any, trace: Trace, distribution: str, taken: Collection[str]
) -> list[PluginCommand]:
    """Return the commands that a plugin put into its group.

    Raises:
        PluginError: a name that is taken, or cannot be one; something that is no command.
    """
    for name, command in group.commands.items():
        if name in taken:
            raise PluginError(f"its command '{name}' is a built-in one; use another name.")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise PluginError(f"command name {name!r}: use a-z, 0-9 and '-'.")
        if not hasattr(command, "get_short_help_str"):
            raise PluginError(
                f"its command '{name}' is of the type {type(command).__name__}; expected one of "
                "click."
            )
    return [
        PluginCommand(name, command, distribution, trace.version, _summary(command))
        for name, command in group.commands.items()
    ]


def _summary(command: Any) -> str:
    return str(command.get_short_help_str(limit=80))
