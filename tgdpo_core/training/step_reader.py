"""The next optimizer step, read and laid out while the device computes this one."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from transformers import TrainerCallback

_PATIENCE = 10.0  # seconds for a thread that nobody waits for any more

Step = TypeVar("Step")
Read = Callable[[Iterator[Any], int], Step]


class StepReader(TrainerCallback, Generic[Step]):
    """Reads optimizer steps from a loader, where it may one ahead, in a thread.

    Only one thread reads at any time, and in the order of the loader, so that steps are what they
    would be without a thread. What goes wrong in it is raised by ``take`` as it is. The thread
    calls plugins (transforms, shapings), so the caller asks for ``begin`` only where it calls none
    itself before ``take``, ``wait`` or ``drop``.

    Args:
        read: returns the step of the next batches of a loader's iterator.
    """

    def __init__(self, read: Read[Step]) -> None:
        self._read = read
        self._begun: _Reading[Step] | None = None

    def take(self, iterator: Iterator[Any], num_batches: int) -> Step:
        """Return the next step: the one begun on this iterator, else one that is read now."""
        begun, self._begun = self._begun, None
        if begun is None:
            return self._read(iterator, num_batches)
        return begun.result()

    def begin(self, iterator: Iterator[Any], num_batches: int) -> None:
        """Read a step in a thread."""
        self._begun = _Reading(lambda: self._read(iterator, num_batches))

    def wait(self) -> None:
        """Wait until no thread reads; what it read, or what went wrong, is for ``take``."""
        if self._begun is not None:
            self._begun.join()

    def drop(self) -> None:
        """Forget the step that was begun; the thread ends, unless it hangs in a plugin."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.join(_PATIENCE)

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        """Forget what was begun: an epoch that is left early goes on from no loader."""
        self.drop()


class _Reading(Generic[Step]):
    """One step in a thread of its own."""

    def __init__(self, read: Callable[[], Step]) -> None:
        self._outcome: Step
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, args=[read], name="step-reader", daemon=True
        )
        self._thread.start()

    def _run(self, read: Callable[[], Step]) -> None:
        try:
            self._outcome = read()
        except BaseException as error:  # noqa: BLE001 - raised again where the step is asked for
            self._error = error

    def join(self, seconds: float | None = None) -> None:
        self._thread.join(seconds)

    def result(self) -> Step:
        self.join()
        if self._error is not None:
            raise self._error
        return self._outcome
