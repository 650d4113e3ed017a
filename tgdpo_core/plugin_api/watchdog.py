"""How long a plugin is busy: it is named after a while, and ended where a limit is set."""

import contextlib
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from tgdpo_core.errors import PluginError, UsageError
from tgdpo_core.plugin_api.interrupts import NotingHandler

logger = logging.getLogger(__name__)

PATIENCE = "TGDPO_PLUGIN_PATIENCE"
"""Seconds after which a plugin that is still busy is named (default 60), then at each doubling."""

TIMEOUT = "TGDPO_PLUGIN_TIMEOUT"
"""Seconds after which a plugin that is still busy ends the command (default: never)."""

LOAD_TIMEOUT = "TGDPO_PLUGIN_LOAD_TIMEOUT"
"""Seconds after which a plugin that is still being loaded is given up (default 60)."""

_INTERRUPTS = 3  # before the process ends: a plugin may catch one
_SECONDS_BETWEEN_INTERRUPTS = 1.0


class _Call(NamedTuple):
    """A plugin that is at work."""

    who: str
    where: str
    thread: int
    started: float
    patience: float
    limit: float


class _Watchdog:
    """One thread for all calls: to start one for each would cost more than most calls."""

    def __init__(self) -> None:
        self.calls: dict[int, _Call] = {}  # of each thread the innermost
        self.timed_out: _Call | None = None
        self._interrupts = 0
        self._last = 0.0
        self._thread: threading.Thread | None = None

    def ensure_running(self) -> None:
        """Start the thread (again, after a fork)."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._watch, daemon=True, name="plugin-watchdog")
            self._thread.start()

    def _watch(self) -> None:
        named: dict[int, tuple[_Call, float]] = {}  # of each thread: its call, when it is named
        while True:
            known, named = named, {}
            for thread, call in dict(self.calls).items():
                before = known.get(thread)
                patience = before[1] if before and before[0] is call else call.patience
                named[thread] = call, self._look_at(call, patience)
            waits = [min(1.0, max(0.05, patience / 4)) for _, patience in named.values()]
            time.sleep(min(waits, default=0.05))

    def _look_at(self, call: _Call, patience: float) -> float:
        """Name a call that is busy for longer than the patience; return when it is named next."""
        busy = time.monotonic() - call.started
        if busy > call.limit:
            self._interrupt(call)
        if busy <= patience:
            return patience
        logger.warning(
            "%s has been busy with %s for %.0f s (%s).",
            call.who,
            call.where,
            busy,
            _place(call.thread),
        )
        return 2 * patience

    def _interrupt(self, call: _Call) -> None:
        """Wake the main thread as Ctrl-C would, if it is the one that waits; end it at last."""
        if call.thread != threading.main_thread().ident:
            return
        now = time.monotonic()
        if self.timed_out is not call:
            self.timed_out, self._interrupts = call, 0
        elif now - self._last < _SECONDS_BETWEEN_INTERRUPTS:
            return
        if self._interrupts >= _INTERRUPTS:
            _give_up(call)
        self._interrupts, self._last = self._interrupts + 1, now
        signal.pthread_kill(call.thread, signal.SIGINT)


def _give_up(call: _Call) -> None:
    """End the process: the plugin catches every interrupt."""
    sys.stderr.write(
        f"Error: {call.who} was busy with {call.where} for more than {call.limit:g} s and caught "
        f"{_INTERRUPTS} interrupts ({_place(call.thread)}). The process ends; what was scored and "
        "saved is kept.\n"
    )
    sys.stderr.flush()
    os._exit(PluginError.exit_code)


_WATCHDOG = _Watchdog()


@contextlib.contextmanager
def watched(
    who: str, where: str, *, patience: float | None = None, limit: float | None = None
) -> Iterator[None]:
    """Name a plugin that does not return; end it where a limit is set.

    A limit needs the main thread; elsewhere the plugin is only named. A plugin that catches every
    interrupt ends the process, exit code 4.

    Args:
        who: how messages name the plugin.
        where: what it is busy with.
        patience: seconds until it is named; None: of ``PATIENCE``.
        limit: seconds until it is ended; None: of ``TIMEOUT``.
    """
    _WATCHDOG.ensure_running()
    thread = threading.get_ident()
    outer = _WATCHDOG.calls.get(thread)
    variable = TIMEOUT if limit is None else LOAD_TIMEOUT
    patience = seconds_of(PATIENCE, 60.0) if patience is None else patience
    limit = seconds_of(TIMEOUT, math.inf) if limit is None else limit
    call = _Call(who, where, thread, time.monotonic(), patience, limit)
    _WATCHDOG.calls[thread] = call
    try:
        with _interruptible(limit):
            yield
    except KeyboardInterrupt:
        if _WATCHDOG.timed_out is not call:
            raise
    finally:
        if outer is None:
            del _WATCHDOG.calls[thread]
        else:
            _WATCHDOG.calls[thread] = outer
    if _WATCHDOG.timed_out is call:  # even if the plugin caught the interrupt
        raise PluginError(
            f"{who} was busy with {where} for more than {limit:g} s and was stopped ({variable}). "
            "What was scored before is kept."
        )


@contextlib.contextmanager
def _interruptible(limit: float) -> Iterator[None]:
    """Listen to interrupts where a limit needs them: a command in the background ignores them."""
    in_main = threading.current_thread() is threading.main_thread()
    if math.isinf(limit) or not in_main or signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, NotingHandler(signal.default_int_handler))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def has_time_limit() -> bool:
    """Return whether plugins are stopped when they take too long: that needs the main thread."""
    return not math.isinf(seconds_of(TIMEOUT, math.inf))


def is_time_limit() -> bool:
    """Return whether an interrupt comes from the time limit of the plugin that is at work."""
    current = _WATCHDOG.calls.get(threading.get_ident())
    return current is not None and _WATCHDOG.timed_out is current


def patience_and_limit() -> tuple[float, float]:
    """Return the seconds of ``PATIENCE`` and of ``TIMEOUT``."""
    return seconds_of(PATIENCE, 60.0), seconds_of(TIMEOUT, math.inf)


def seconds_of(variable: str, default: float) -> float:
    """Return the seconds that an environment variable says; ``UsageError`` for other text."""
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:  # NaN, too
        raise UsageError(f"{variable}={text!r}: expected a number of seconds above 0.")
    return seconds


def _place(thread: int) -> str:
    """Return where a thread is, innermost line first."""
    frame = sys._current_frames().get(thread)
    return f"at {frame.f_code.co_filename}:{frame.f_lineno}" if frame else "place unknown"
