"""Memory that was freed and that the C library keeps.

The aligned blocks of tensors are seldom taken from what was freed before (glibc below 2.38): a
long pass over rows of changing lengths would hold gigabytes of which it uses a few hundred
megabytes.
"""

import ctypes
import functools
import time
from collections.abc import Callable

_SECONDS = 10.0  # apart: a few hundred megabytes gather, and giving them back takes milliseconds


class FreeMemory:
    """Gives freed memory back to the system now and then.

    Args:
        seconds: at least so long between two times.
    """

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def give_back(self) -> None:
        """Give back what is free, if it is time; where the C library cannot, do nothing."""
        if time.monotonic() - self._last >= self._seconds:
            _trim()()
            self._last = time.monotonic()


@functools.cache
def _trim() -> Callable[[], object]:
    """Return glibc's ``malloc_trim(0)``."""
    try:
        trim = ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):  # another C library
        return lambda: None
    return lambda: trim(0)
