"""What happens beside the training loop: the log file, the progress line, the clock."""

import json
import logging
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import has_length

from tgdpo_core.progress import StageBar
from tgdpo_core.scoring.online import OnlineRewards

logger = logging.getLogger(__name__)

# Short, so that at 80 columns half of the line is left to the bar; logs have all.
_SHOWN = {"loss": "loss", "rewards/accuracies": "acc"}


class JsonlLog(TrainerCallback):
    """Writes every log row to a file, one JSON object a line.

    Attributes:
        resumed_size: bytes that the file had at the save that a run goes on from.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.resumed_size: int | None = None

    def size(self) -> int:
        """Return how many bytes are written."""
        return self._path.stat().st_size if self._path.exists() else 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """On resume, drop the rows that the run will log again."""
        if not state.is_world_process_zero or not self._path.exists():
            return
        if self.resumed_size is not None:  # rows of the same step may have come after the save
            with self._path.open("r+b") as file:
                file.truncate(min(self.resumed_size, self.size()))
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        steps = [_step(line) for line in lines]
        if None in steps[:-1]:  # the last one may have been cut off by a kill
            logger.warning("%s holds lines that are no log rows; they are left out.", self._path)
        kept = [
            line
            for line, step in zip(lines, steps, strict=True)
            if step is not None and step <= state.global_step
        ]
        self._path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Append the row."""
        if state.is_world_process_zero and logs:
            self._path.parent.mkdir(parents=True, exist_ok=True)  # evaluate() without train()
            with self._path.open("a") as file:
                file.write(json.dumps({"step": state.global_step, **logs}, default=float) + "\n")


def _step(line: str) -> float | None:
    """Return the step of a log row; None for a line that is none."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


class ProgressLine(ProgressCallback):
    """transformers' progress bar, with two metrics behind it instead of every row in full."""

    training_bar: Any
    prediction_bar: Any

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the bar at the step that a run goes on from."""
        if state.is_world_process_zero:
            self.training_bar = StageBar(
                total=state.max_steps, initial=state.global_step, desc="training", unit="step"
            )
        self.current_step = state.global_step

    def on_prediction_step(
        self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **kwargs: Any
    ) -> None:
        """Show how far an evaluation is."""
        if state.is_world_process_zero and has_length(eval_dataloader):
            if self.prediction_bar is None:
                self.prediction_bar = StageBar(
                    total=len(eval_dataloader),
                    desc="evaluation",
                    unit="batch",
                    leave=self.training_bar is None,
                )
            self.prediction_bar.update(1)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Show the metrics that one watches."""
        bar = self.training_bar
        if bar is not None and logs:
            shown = {label: logs[name] for name, label in _SHOWN.items() if name in logs}
            if shown:
                bar.set_postfix({name: f"{value:.3g}" for name, value in shown.items()})


class StepClock(TrainerCallback):
    """Seconds spent in optimizer steps, evaluation and saving left out."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._begun = 0.0

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self._begun = time.perf_counter()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Stop it."""
        self._seconds += time.perf_counter() - self._begun

    def pop_seconds(self) -> float:
        """Return the seconds since the last call."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


def replace_progress_bar(trainer: Any) -> None:
    """Show our progress line where transformers would show its own bar or print rows."""
    if trainer.args.disable_tqdm:
        trainer.remove_callback(PrinterCallback)
    else:
        trainer.remove_callback(ProgressCallback)
        trainer.add_callback(ProgressLine())


class RewardSteps(TrainerCallback):
    """Tells online rewards that learn when an optimizer step is done, before it is saved."""

    def __init__(self, online: OnlineRewards) -> None:
        self._online = online

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Pass it on."""
        self._online.end_step(state.global_step)
