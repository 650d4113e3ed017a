"""A time limit on code that cannot be asked to stop, such as a loop in a chat template."""

import ctypes
import threading
import time
from types import TracebackType

_LOOKS_EVERY = 0.2  # seconds
_IDLE_LOOKS = 10  # then the watching thread ends; the next block starts another one


class TookTooLong(Exception):
    """The block had not finished within its time."""


class TimeLimit:
    """A block that takes longer than its time is ended by ``TookTooLong``; works in every thread.

    Made for many short blocks: one thread watches them all. The exception arrives between two
    Python instructions: one call into C is not cut short.

    Args:
        seconds: what a block may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._watcher: threading.Thread | None = None
        self._began: float | None = None
        self._runs_in = 0
        self._was_ended = False

    def __enter__(self) -> None:
        """Begin a block."""
        with self._lock:
            self._runs_in, self._was_ended = threading.get_ident(), False
            self._began = time.monotonic()
            if self._watcher is None or not self._watcher.is_alive():
                self._watcher = threading.Thread(target=self._watch, daemon=True)
                self._watcher.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it; an exception that was sent and has not arrived yet is taken back."""
        with self._lock:
            self._began = None
            if self._was_ended:
                _raise_in(self._runs_in, None)

    def _watch(self) -> None:
        idle = 0
        while True:
            time.sleep(_LOOKS_EVERY)
            with self._lock:
                idle = 0 if self._began is not None else idle + 1
                if idle >= _IDLE_LOOKS:
                    self._watcher = None
                    return
                if self._is_late() and not self._was_ended:
                    self._was_ended = True
                    _raise_in(self._runs_in, TookTooLong)

    def _is_late(self) -> bool:
        return self._began is not None and time.monotonic() - self._began > self._seconds


def _raise_in(thread: int, exception: type[Exception] | None) -> None:
    argument = None if exception is None else ctypes.py_object(exception)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), argument)
