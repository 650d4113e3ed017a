"""Stop requests from outside: the first one saves, the second one does not wait."""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from tgdpo_core.errors import Preempted
from tgdpo_core.scoring.guard import is_time_limit

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
# A launcher passes on what the terminal has sent already: that is one request, not two.
_SAME_REQUEST_SECONDS = 1.0


class StopRequested(KeyboardInterrupt):
    """Raised by a stop signal in work that may end at any point; plugins do not catch it."""


class StopSignals:
    """What has been asked for from outside so far.

    Attributes:
        received: name of the first signal, or None.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._at = 0.0
        self._interruptible = 0

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within it a stop signal raises ``StopRequested`` at once: nothing there need be saved."""
        if self.received:
            raise StopRequested(self.received)
        self._interruptible += 1
        try:
            yield
        finally:
            self._interruptible -= 1

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note a signal; at the second one, interrupt."""
        if number == signal.SIGINT and is_time_limit():  # a plugin's, not the user's
            raise KeyboardInterrupt
        now = time.monotonic()
        if self.received is None:
            self.received, self._at = signal.Signals(number).name, now
            if self._interruptible:
                raise StopRequested(self.received)
            # Not logging: the signal may have come while a handler holds its lock.
            sys.stderr.write(
                f"\n{self.received}: finishing the step and saving. Again: stop at once.\n"
            )
        elif now - self._at > _SAME_REQUEST_SECONDS:
            raise KeyboardInterrupt


_current: StopSignals | None = None


@contextlib.contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Take over SIGTERM, SIGINT and SIGHUP; within another call, yield what that one yielded.

    Outside the main thread signals stay as they are.
    """
    global _current
    if _current is not None:
        yield _current
        return
    stop = _current = StopSignals()
    is_main = threading.current_thread() is threading.main_thread()
    before = {n: signal.signal(n, stop.handle) for n in SIGNALS if is_main and _is_heard(n)}
    try:
        yield stop
    finally:
        _current = None
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def stopping_is(message: str) -> Iterator[StopSignals]:
    """Turn a stop signal in interruptible work into ``Preempted``.

    Args:
        message: what is kept and how to go on.
    """
    with stop_signals() as stop:
        try:
            with stop.interruptible():
                yield stop
        except StopRequested as error:
            raise Preempted(f"Stopped by {stop.received}. {message}") from error


def _is_heard(number: int) -> bool:
    """Whether a signal is not ignored: ``nohup`` ignores SIGHUP, and means it."""
    handler: Any = signal.getsignal(number)
    return handler is not signal.SIG_IGN
