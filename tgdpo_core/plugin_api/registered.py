"""What plugins brought, by kind and name, and which of them could not be loaded."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tgdpo_core.environment_secrets import secret_in
from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.error_text import said_by
from tgdpo_core.plugin_api.interrupts import interrupts_noted
from tgdpo_core.plugin_api.options import Options, build
from tgdpo_core.plugin_api.source_identity import source_of

_LONGEST_SUMMARY = 200  # characters


@dataclass(frozen=True)
class Registered:
    """One thing that a plugin brought: its kind, its name, and where it comes from."""

    kind: str
    name: str
    factory: Any
    distribution: str
    version: str
    module: str

    @property
    def summary(self) -> str:
        """First line of the factory's docstring, its beginning where it is very long.

        The double backticks of reStructuredText are single ones, as in all other texts.
        """
        line = (inspect.getdoc(self.factory) or "").strip().partition("\n")[0].replace("``", "`")
        return line if len(line) <= _LONGEST_SUMMARY else f"{line[:_LONGEST_SUMMARY]}..."

    @property
    def origin(self) -> str:
        """Distribution and version, or the file of ``--plugin-file``."""
        return f"{self.distribution} {self.version}".strip()

    def __str__(self) -> str:
        """How messages name it."""
        return f"{self.kind} '{self.name}' ({self.origin})"

    @property
    def source(self) -> str | dict[str, str]:
        """What names the code where the version does not: see ``source_identity``."""
        return source_of(self.factory, self.distribution)

    def create(self, values: Mapping[str, Any] | None = None) -> Any:
        """Return an instance built from option values.

        Raises:
            PluginError: a value does not fit, or is a secret: options are written to files; the
                plugin raised.
        """
        if found := secret_in(values or {}):
            raise PluginError(
                f"{self}: its option {found}, and options are written to the run folder and the "
                "store. Leave it out and let the plugin read it from the environment."
            )
        if isinstance(self.factory, type) and issubclass(self.factory, Options):
            return build(self.factory, values or {}, who=str(self))
        if values:
            raise PluginError(f"{self} takes no options; got {', '.join(values)}.")
        with interrupts_noted() as noted:
            try:
                return self.factory()
            except BaseException as error:
                noted.hand_on(error)
                raise PluginError(f"{self} failed when it was made: {said_by(error)}") from error


@dataclass(frozen=True)
class Broken:
    """A plugin that could not be loaded, and why."""

    key: str
    distribution: str
    version: str
    error: BaseException

    def __str__(self) -> str:
        """One line for lists and messages."""
        where = f"{self.key} {self.version}".strip()
        return f"{where} could not be loaded: {said_by(self.error)}"
