"""What a plugin raises, as an error of the tree that names it and quotes no secret."""

import contextlib
import sys
from collections.abc import Iterator
from typing import NoReturn

from tgdpo_core.errors import PluginError, TgdpoError
from tgdpo_core.plugin_api.error_text import said_by, shown_with, text_of
from tgdpo_core.plugin_api.interrupts import interrupts_noted
from tgdpo_core.secret_values import holds_secret, redacted


class PluginOutOfMemoryError(PluginError):
    """A plugin needed more memory than the device has; fewer rows at once may fit."""


@contextlib.contextmanager
def named_errors(who: str, where: str) -> Iterator[None]:
    """Raise whatever a plugin raises again as ``PluginError`` with its name, chained.

    Raises:
        PluginError: of the plugin's exceptions, also those that are no ``Exception``: of tasks that
            were cancelled, of groups, or an interrupt that it raised itself.
        KeyboardInterrupt: the user's.
    """
    with interrupts_noted() as noted:
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - raised again, with a name
            noted.hand_on(error)
            raise_named(who, where, error)


def raise_named(who: str, where: str, error: BaseException) -> NoReturn:
    """Raise what a plugin raised as an error of the tree that names it, chained.

    A traceback shows causes, too: one that quotes a secret is not handed on.
    """
    named = _named(who, where, error)
    if named is error:
        raise named
    raise named from (None if _quotes_secret(error) else error)


def _named(who: str, where: str, error: BaseException) -> TgdpoError:
    """Return what a plugin raised as ``PluginError`` with its name, secrets taken out.

    Errors of the tree are returned as they are, unless they are the plugin's own.
    """
    text = redacted(text_of(error))
    if isinstance(error, TgdpoError):
        if isinstance(error, PluginError) and who not in text:  # the plugin's own
            return PluginError(f"{who} failed on {where}: {text}")
        return type(error)(text) if _quotes_secret(error) else error
    if _is_out_of_memory(error):
        return PluginOutOfMemoryError(
            f"{who} ran out of memory on {where}. Lower its batch size or its dtype, or use a "
            f"smaller model. ({text})"
        )
    return PluginError(f"{who} failed on {where}: {redacted(said_by(error))}")


def _is_out_of_memory(error: BaseException) -> bool:
    # Commands of plugins may run without torch, and then nobody raises its errors.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)


def _quotes_secret(error: BaseException) -> bool:
    """Whether an exception, or one that a traceback shows with it, quotes a secret."""
    return any(holds_secret(text_of(each)) for each in shown_with(error))
