"""A process that does nothing for too long shows its stack, and ends the run with itself."""

import faulthandler
import os
import threading
import time
from typing import Any

from transformers import TrainerCallback

EXIT_CODE = 7  # as MachineError
_GRACE_SECONDS = 15.0  # others, who wait for this one, time out and report first


class HangWatch(TrainerCallback):
    """Watches this process in a run of several, between the events of the training loop.

    After nine tenths of the time limit the stacks of all threads go to stderr, by a thread that
    needs no interpreter; after the limit and some seconds the process ends itself, so that the
    others are not kept waiting.

    Args:
        limit: seconds between two signs of life (``ddp_timeout``).
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._last: float | None = None
        self._thread: threading.Thread | None = None

    def beat(self) -> None:
        """Note that the process is alive."""
        self._last = time.monotonic()
        faulthandler.dump_traceback_later(0.9 * self._limit, file=2)
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, daemon=True, name="hang-watch")
            self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._last = None
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        while True:
            time.sleep(min(1.0, self._limit / 10))
            last = self._last
            if last is not None and time.monotonic() - last > self._limit + _GRACE_SECONDS:
                os.write(
                    2,
                    f"Process {os.environ.get('RANK', '0')} of the run gave no sign of life for "
                    f"{self._limit:.0f} s (training.ddp_timeout) and ends; its stack is above.\n"
                    "".encode(),
                )
                os._exit(EXIT_CODE)

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Begin."""
        self.beat()

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """A sign of life."""
        self.beat()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """A sign of life."""
        self.beat()

    def on_prediction_step(self, *args: Any, **kwargs: Any) -> None:
        """A sign of life."""
        self.beat()

    def on_save(self, *args: Any, **kwargs: Any) -> None:
        """A sign of life."""
        self.beat()

    def on_log(self, *args: Any, **kwargs: Any) -> None:
        """A sign of life."""
        self.beat()

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """The loop is over."""
        self.stop()
