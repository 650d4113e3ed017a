"""Whose interrupt it is: the user's, from a key or a stop signal, or one that a plugin raises."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tgdpo_core.plugin_api.error_text import holds_interrupt

# Ours unwind a command as Ctrl-C does for each of them.
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@dataclass
class _Count:
    """How many signals the handlers of this module have heard in this process."""

    heard: int = 0


_COUNT = _Count()


class NotingHandler:
    """A handler of a signal that notes it and hands it on.

    Args:
        previous: what handles it.
    """

    def __init__(self, previous: Callable[..., Any]) -> None:
        self.previous = previous

    def __call__(self, number: int, frame: Any) -> None:
        """Note the signal, then do what was done about it before."""
        _COUNT.heard += 1
        self.previous(number, frame)


@dataclass(frozen=True)
class Noted:
    """What was heard while a plugin was at work.

    Attributes:
        before: how many signals had been heard until then.
        is_deaf: whether signals go past Python, so that nobody knows.
    """

    before: int
    is_deaf: bool = False

    def hand_on(self, error: BaseException) -> None:
        """Raise ``KeyboardInterrupt`` if an exception comes from the user's; return otherwise.

        A group with an interrupt in it is what tasks of a plugin make of the user's.
        """
        if not holds_interrupt(error) or not (self.is_deaf or _COUNT.heard > self.before):
            return
        if isinstance(error, KeyboardInterrupt):
            raise error
        raise KeyboardInterrupt from error


@contextlib.contextmanager
def interrupts_noted() -> Iterator[Noted]:
    """Listen to signals while a plugin is at work, to tell the user's interrupt from its own.

    Signals come to the main thread only: elsewhere, every interrupt is the plugin's. So it is in
    the background, where the keys are ignored.
    """
    before = _COUNT.heard
    if threading.current_thread() is not threading.main_thread():
        yield Noted(before)
        return
    # Whoever takes SIGINT over takes the others, too: one look is enough where many calls nest.
    listens = isinstance(signal.getsignal(signal.SIGINT), NotingHandler)
    handlers = {} if listens else {number: signal.getsignal(number) for number in _SIGNALS}
    ours = {n: NotingHandler(each) for n, each in handlers.items() if callable(each)}
    for number, handler in ours.items():
        signal.signal(number, handler)
    try:
        yield Noted(before, is_deaf=None in handlers.values())
    finally:
        for number, handler in ours.items():
            previous = handler.previous
            if signal.getsignal(number) is handler:
                signal.signal(number, previous)
