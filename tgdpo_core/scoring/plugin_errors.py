"""What a plugin raises, as an error of the tree that names it and quotes no secret."""

import contextlib
from collections.abc import Iterator
from typing import NoReturn

import torch

from tgdpo_core.errors import PluginError, TgdpoError
from tgdpo_core.secret_values import holds_secret, redacted


class PluginOutOfMemoryError(PluginError):
    """A plugin needed more memory than the device has; fewer rows at once may fit."""


@contextlib.contextmanager
def named_errors(who: str, where: str) -> Iterator[None]:
    """Raise what a plugin raises again as ``PluginError`` with its name, chained."""
    try:
        yield
    except (Exception, SystemExit) as error:  # noqa: BLE001 - raised again, with a name
        raise_named(who, where, error)


def raise_named(who: str, where: str, error: BaseException) -> NoReturn:
    """Raise what a plugin raised as an error of the tree that names it, chained.

    A traceback shows causes, too: one that quotes a secret is not handed on.
    """
    if not isinstance(error, Exception | SystemExit):
        raise error
    named = _named(who, where, error)
    if named is error:
        raise named
    raise named from (None if _quotes_secret(error) else error)


def _named(who: str, where: str, error: BaseException) -> TgdpoError:
    """Return what a plugin raised as ``PluginError`` with its name, secrets taken out.

    Errors of the tree are returned as they are, unless they are the plugin's own.
    """
    text = redacted(str(error))
    if isinstance(error, TgdpoError):
        if isinstance(error, PluginError) and who not in text:  # the plugin's own
            return PluginError(f"{who} failed on {where}: {text}")
        return type(error)(text) if _quotes_secret(error) else error
    if isinstance(error, torch.OutOfMemoryError):
        return PluginOutOfMemoryError(
            f"{who} ran out of memory on {where}. Lower its batch size or its dtype, or use a "
            f"smaller model. ({text})"
        )
    return PluginError(f"{who} failed on {where}: {type(error).__name__}: {text}")


def _quotes_secret(error: BaseException) -> bool:
    """Whether an exception, or one that a traceback shows with it, quotes a secret."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if holds_secret(str(each)):
            return True
        waiting += [each.__cause__, each.__context__]
    return False
