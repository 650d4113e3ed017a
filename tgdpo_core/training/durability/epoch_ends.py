"""Where a step stands in its epoch, as callbacks see it."""

from typing import Any

from transformers import TrainerCallback


class EpochEnds(TrainerCallback):
    """Tells the trainer whether it is in an epoch or at its end."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Within an epoch."""
        self._trainer._is_epoch_end = self._trainer._closes_epoch = False

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        """At the end of one."""
        self._trainer._is_epoch_end = True
