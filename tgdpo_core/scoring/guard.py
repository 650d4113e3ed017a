"""The only way in which the core calls a plugin: named errors, no side effects, no silent hang."""

import contextlib
import logging
import math
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from tgdpo_core.errors import PluginError, UsageError
from tgdpo_core.scoring.event_loop import finished
from tgdpo_core.scoring.plugin_errors import named_errors
from tgdpo_core.scoring.process_state import settings_kept_by

logger = logging.getLogger(__name__)

PATIENCE = "TGDPO_PLUGIN_PATIENCE"
"""Seconds after which a plugin that is still busy is named (default 60), then at each doubling."""

TIMEOUT = "TGDPO_PLUGIN_TIMEOUT"
"""Seconds after which a plugin that is still busy ends the command (default: never)."""


def call_plugin(
    who: str, where: str, function: Callable[..., Any], *args: Any, draws: bool = True
) -> Any:
    """Return ``function(*args)``; what it raises is raised again with the plugin's name.

    The global random states of Python, numpy and torch, and the settings of the process, are what
    they were when it returns.

    Args:
        who: how messages name the plugin.
        where: what it is given: rows, or the part of its life.
        function: the plugin's.
        args: its arguments.
        draws: whether it may draw from the global random states. Where values are made it may not:
            they would depend on order and batch size.

    Raises:
        PluginError: whatever the plugin raised, chained; it hung; it drew random numbers; it
            changed a setting of the process, such as the gradient mode or the working directory.
    """
    forbidden_to = None if draws else f"{who}, {where}"
    with settings_kept_by(f"{who}, {where}"), random_states_kept(forbidden_to):
        return call_often(who, where, function, *args)


def call_on_batch(
    who: str,
    where: str,
    function: Callable[[Any], Any],
    batch: Sequence[Any],
    *,
    draws: bool = True,
) -> Any:
    """Return ``function(list of the batch)`` as ``call_plugin`` does; results go by position.

    The list is the plugin's own, and it must be as it was when the plugin returns: whether results
    follow the old order or the new one cannot be told, so neither is guessed.

    Raises:
        PluginError: as ``call_plugin``; the plugin sorted, reversed, emptied or extended its batch.
    """
    given = list(batch)
    results = call_plugin(who, where, function, given, draws=draws)
    require_batch_kept(f"{who}, {where}", given, batch)
    return results


def require_batch_kept(who: str, given: Sequence[Any], batch: Sequence[Any]) -> None:
    """Raise ``PluginError`` unless a list still holds the items of a batch, in its order."""
    if len(given) != len(batch):
        raise PluginError(
            f"{who}: the plugin changed its batch, which had {len(batch)} items and then "
            f"{len(given)}. Results belong to the items by position: work on a copy, list(batch)."
        )
    if any(a is not b for a, b in zip(given, batch, strict=True)):
        raise PluginError(
            f"{who}: the plugin changed the order of its batch in place (sort, reverse?). Results "
            "belong to the items by position: work on a copy, sorted(batch), and return results "
            "in the order that was given."
        )


def call_often(who: str, where: str, function: Callable[..., Any], *args: Any) -> Any:
    """Return ``function(*args)``, or what it awaits, without a look at what must be kept.

    For what is called at every response: the look takes longer than the call. It is taken once,
    around the pass over the training set before training (``process_kept``).
    """
    with named_errors(who, where), _watched(who, where):
        return finished(function(*args))


@contextlib.contextmanager
def process_kept(who: str) -> Iterator[None]:
    """Put random states and settings of the process back; ``PluginError`` if one moved."""
    with settings_kept_by(who), random_states_kept(who):
        yield


# -- random states --------------------------------------------------------------------------------


@contextlib.contextmanager
def random_states_kept(forbidden_to: str | None) -> Iterator[None]:
    """Put the global random states back; ``PluginError`` if one moved that must not."""
    python, array, tensor = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        yield
        moved = {
            "random": random.getstate() != python,
            "numpy": not _equal(np.random.get_state(), array),
            "torch": not torch.equal(torch.get_rng_state(), tensor),
            "torch.cuda": bool(cuda) and not _all_equal(torch.cuda.get_rng_state_all(), cuda),
        }
    finally:
        random.setstate(python)
        np.random.set_state(array)
        torch.set_rng_state(tensor)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
    drawn = [name for name, has_moved in moved.items() if has_moved]
    if forbidden_to and drawn:
        raise PluginError(
            f"{forbidden_to}: the plugin drew from (or seeded) the global random state of "
            f"{drawn[0]}, so its values depend on the order of the rows. Make a generator of its "
            "own, seeded with example.uid."
        )


def _equal(a: Any, b: Any) -> bool:
    """Whether two states of numpy's legacy generator are the same."""
    return bool(a[2:] == b[2:] and np.array_equal(a[1], b[1]))


def _all_equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# -- time -----------------------------------------------------------------------------------------


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
        self.current: _Call | None = None
        self.timed_out: _Call | None = None
        self._thread: threading.Thread | None = None

    def ensure_running(self) -> None:
        """Start the thread (again, after a fork)."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._watch, daemon=True, name="plugin-watchdog")
            self._thread.start()

    def _watch(self) -> None:
        named: _Call | None = None
        patience = 0.0
        while True:
            call = self.current
            if call is not named:
                named, patience = call, call.patience if call else 0.0
            if call:
                busy = time.monotonic() - call.started
                if busy > patience:
                    logger.warning(
                        "%s has been busy with %s for %.0f s (%s).",
                        call.who,
                        call.where,
                        busy,
                        _place(call.thread),
                    )
                    patience *= 2
                if busy > call.limit:
                    self._interrupt(call)
            time.sleep(min(1.0, max(0.05, patience / 4)) if call else 0.05)

    def _interrupt(self, call: _Call) -> None:
        """Wake the main thread as Ctrl-C would, if it is the one that waits."""
        if call.thread == threading.main_thread().ident and self.timed_out is not call:
            self.timed_out = call
            signal.pthread_kill(call.thread, signal.SIGINT)


_WATCHDOG = _Watchdog()


@contextlib.contextmanager
def _watched(who: str, where: str) -> Iterator[None]:
    """Name a plugin that does not return; end it where a limit is set.

    A limit needs the main thread; elsewhere the plugin is only named.
    """
    _WATCHDOG.ensure_running()
    outer = _WATCHDOG.current
    patience, limit = patience_and_limit()
    call = _Call(who, where, threading.get_ident(), time.monotonic(), patience, limit)
    _WATCHDOG.current = call
    try:
        with _interruptible(limit):
            yield
    except KeyboardInterrupt:
        if _WATCHDOG.timed_out is not call:
            raise
    finally:
        _WATCHDOG.current = outer
    if _WATCHDOG.timed_out is call:  # even if the plugin caught the interrupt
        raise PluginError(
            f"{who} was busy with {where} for more than {limit:g} s and was stopped ({TIMEOUT}). "
            "What was scored before is kept."
        )


@contextlib.contextmanager
def _interruptible(limit: float) -> Iterator[None]:
    """Listen to interrupts where a limit needs them: a command in the background ignores them."""
    in_main = threading.current_thread() is threading.main_thread()
    if math.isinf(limit) or not in_main or signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def has_time_limit() -> bool:
    """Return whether plugins are stopped when they take too long: that needs the main thread."""
    return not math.isinf(_seconds(TIMEOUT, math.inf))


def is_time_limit() -> bool:
    """Return whether an interrupt comes from the time limit of the plugin that is at work."""
    current = _WATCHDOG.current
    return current is not None and _WATCHDOG.timed_out is current


def patience_and_limit() -> tuple[float, float]:
    """Return the seconds of ``PATIENCE`` and of ``TIMEOUT``."""
    return _seconds(PATIENCE, 60.0), _seconds(TIMEOUT, math.inf)


def _seconds(variable: str, default: float) -> float:
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
