"""One event loop for everything of plugins that is ``async``, in a thread of its own.

One, because what a plugin opens in ``setup`` (connections, locks) belongs to the loop that it was
opened in. A thread, because a stop signal must reach the main thread, which stores the answers.
"""

import asyncio
import inspect
import os
import threading
from collections.abc import Awaitable, Coroutine
from concurrent.futures import Future
from typing import Any


class _LoopThread:
    """The loop and its thread; made anew after a fork, which threads do not survive."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True, name="plugin-event-loop")
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it runs in this process."""
        return self._process == os.getpid() and self._thread.is_alive()

    def start(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Start a coroutine; return what will hold its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()


_current: _LoopThread | None = None


def start(work: Coroutine[Any, Any, Any]) -> Future[Any]:
    """Start a coroutine in the loop of plugins; return what will hold its result."""
    global _current
    if _current is None or not _current.is_alive:
        _current = _LoopThread()
    return _current.start(work)


def finished(result: Any) -> Any:
    """Return what a call gave: the result of an awaitable once it is there, else as it is."""
    if not inspect.isawaitable(result):
        return result
    future = start(_awaited(result))
    try:
        found, error = future.result()
    except BaseException:  # a stop signal, most likely: nobody waits for it any more
        future.cancel()
        raise
    if error is not None:
        raise error
    return found


async def _awaited(result: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """Return what came, or what was raised: an interrupt or an exit would end the loop itself."""
    try:
        return await result, None
    except (KeyboardInterrupt, SystemExit) as error:
        return None, error
