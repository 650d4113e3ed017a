"""Trackers by name: checked before any work, opened before training, dropped where they fail."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from tgdpo_core.environment_secrets import without_secrets
from tgdpo_core.errors import TgdpoError, UsageError
from tgdpo_core.tracking import to_mlflow, to_tensorboard, to_trackio, to_wandb
from tgdpo_core.tracking.tracker import TrackedRun, Tracker

logger = logging.getLogger(__name__)


class _Kind(NamedTuple):
    """A tracker: what looks whether it can be used, and what opens a run."""

    check: Callable[[str | None], None]
    open: Callable[[TrackedRun], Tracker]


_KINDS: Mapping[str, _Kind] = {
    "tensorboard": _Kind(to_tensorboard.check, to_tensorboard.TensorBoard),
    "wandb": _Kind(to_wandb.check, to_wandb.WeightsAndBiases),
    "trackio": _Kind(to_trackio.check, to_trackio.Trackio),
    "mlflow": _Kind(to_mlflow.check, to_mlflow.MLflow),
}
TRACKED = tuple(_KINDS)
"""The trackers that get the recipe, pictures and tables; transformers serves its others."""


def require_usable(names: Sequence[str], project: str | None = None) -> None:
    """Raise ``UsageError`` for a tracker that cannot be used, before any work is done."""
    for name in names:
        if kind := _KINDS.get(name):
            _calling(name, partial(kind.check, project))


def open_trackers(names: Sequence[str], run: TrackedRun) -> "Trackers":
    """Return a run of every tracker named.

    Raises:
        UsageError: one cannot be opened; those before it are closed.
    """
    opened = Trackers({})
    try:
        for name in names:
            if kind := _KINDS.get(name):
                opened.open[name] = _calling(name, partial(kind.open, run))
    except TgdpoError:
        opened.close(failed=True)
        raise
    return opened


class Trackers:
    """Open runs of several trackers. One that fails later is dropped and said; training goes on.

    Attributes:
        open: by name.
        failed: by name, with what it said and when.
    """

    def __init__(self, opened: dict[str, Tracker]) -> None:
        self.open = opened
        self.failed: dict[str, str] = {}

    @property
    def ids(self) -> dict[str, str]:
        """By which a resumed run finds each again."""
        return {name: tracker.id for name, tracker in self.open.items()}

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers of an optimizer step."""
        self._each(f"at step {step}", lambda tracker: tracker.numbers(values, step))

    def picture(self, name: str, png: bytes) -> None:
        """Log a picture."""
        self._each(f"at the picture {name}", lambda tracker: tracker.picture(name, png))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Log a table of texts."""
        cells = [[without_secrets(cell) for cell in row] for row in rows]
        self._each(f"at the table {name}", lambda tracker: tracker.table(name, columns, cells))

    def close(self, *, failed: bool) -> None:
        """End the runs."""
        self._each("at the end", lambda tracker: tracker.close(failed=failed))
        self.open.clear()

    def _each(self, when: str, call: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.open.items()):
            try:
                call(tracker)
            except Exception as error:  # noqa: BLE001 - a server that goes away ends no training
                del self.open[name]
                said = without_secrets(f"{type(error).__name__}: {error}".splitlines()[0])
                self.failed[name] = f"{when}: {said}"
                logger.warning(
                    "%s failed %s and gets nothing more of this run; logs/train.jsonl has all. "
                    "No number of the run depends on it.",
                    name,
                    self.failed[name],
                )


def _calling(name: str, call: Callable[[], Any]) -> Any:
    """Call a tracker; whatever it raises is the user's to mend, in one line."""
    try:
        return call()
    except TgdpoError:
        raise
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(
            f"training.report_to={name} cannot be used: {without_secrets(said)[:500]} Mend its "
            "settings, or train without it: --set training.report_to=none. Nothing was trained."
        ) from error
