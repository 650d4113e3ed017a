"""What the command of a plugin raises: its plugin is named, for it is no bug of tgdpo."""

import contextlib
import errno
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tgdpo_core.plugin_api.plugin_commands import PluginCommand

# How a command says that it ends, and with which code.
_ENDS = (click.ClickException, click.Abort, click.exceptions.Exit, SystemExit, KeyboardInterrupt)


@contextlib.contextmanager
def faults_named(find: "Callable[[], PluginCommand | None]") -> Iterator[None]:
    """Raise what a command of a plugin raises again as an error that names the plugin.

    Args:
        find: returns the command that runs; None where it is one of tgdpo's.

    Raises:
        PluginError: whatever it raised, chained.
        BaseException: click's exceptions, ``SystemExit`` and the user's interrupt pass; so does
            what a command of tgdpo raises.
    """
    try:
        yield
    except _ENDS:
        raise
    except BaseException as error:
        from tgdpo_core.plugin_api.discovery import BUILT_IN
        from tgdpo_core.plugin_api.error_text import holds_interrupt

        found = find()
        if found is None or found.distribution == BUILT_IN or _is_closed_pipe(error):
            raise
        if holds_interrupt(error):  # Ctrl-C, as a group of tasks hands it on
            raise KeyboardInterrupt from error
        from tgdpo_core.scoring.plugin_errors import raise_named

        raise_named(f"command '{found.name}' ({found.origin})", "this call", error)


def _is_closed_pipe(error: BaseException) -> bool:
    """Whether nobody reads the output any more (``| head``); click ends quietly then."""
    return isinstance(error, OSError) and error.errno == errno.EPIPE
