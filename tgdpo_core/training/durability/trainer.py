"""transformers' training loop with saves that survive, numbers that stop it, and stops that save.

What a step computes is left to the subclass.
"""

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from tgdpo_core.errors import Preempted
from tgdpo_core.training.callbacks import JsonlLog
from tgdpo_core.training.durability.agreement import (
    any_flag,
    by_first,
    everyones,
)
from tgdpo_core.training.durability.checkpoints import Checkpoints
from tgdpo_core.training.durability.disk_errors import fitting
from tgdpo_core.training.durability.epoch_ends import EpochEnds
from tgdpo_core.training.durability.hang_watch import HangWatch
from tgdpo_core.training.durability.numeric_guard import (
    StepNumbers,
    bad_gradients,
    shown,
)
from tgdpo_core.training.durability.resume_guard import (
    apply_changes,
    hyperparameters,
)
from tgdpo_core.training.durability.resumption import Resumption, choose
from tgdpo_core.training.durability.running_sums import read_sums
from tgdpo_core.training.durability.saving import SavingTrainer
from tgdpo_core.training.durability.signals import StopRequested, StopSignals
from tgdpo_core.training.durability.step_health import StepHealth, step_health
from tgdpo_core.training.metrics import MetricBuffer
from tgdpo_core.training.run_folder import RunFolder

# A loss scale of 2^16 is spent after 16 halvings: an overflow that stays is one of the model.
_MOST_OVERFLOWS = 32


class DurableTrainer(SavingTrainer):
    """A ``transformers.Trainer`` that can be stopped, killed and resumed.

    A subclass calls ``_be_durable`` when it is built, adds rows to ``_numbers`` at every step, and
    sets ``_stop`` while it trains.
    """

    _stop: StopSignals | None = None
    _resumed: Path | None = None
    _changed: Collection[str] = ()
    _is_epoch_end = False
    _in_evaluation = False
    _stop_agreed = False
    _overflows = 0

    def _be_durable(
        self,
        folder: RunFolder,
        train_buffer: MetricBuffer,
        identity: Mapping[str, Any],
        allowed: Collection[str],
    ) -> None:
        """Take over what outlives a step.

        Args:
            folder: of the run.
            train_buffer: metrics since the last log row.
            identity: what decides the run's numbers (``run_identity``).
            allowed: what of it may differ from the run that is resumed.
        """
        self._allowed = allowed
        self._checkpoints = Checkpoints(folder.checkpoints)
        self._numbers = StepNumbers(folder.failure)
        self._log = JsonlLog(folder.log)
        self._train_buffer = train_buffer
        self._identity = identity
        self._watch = HangWatch(self.args.ddp_timeout) if self.args.world_size > 1 else None
        self.add_callback(self._log)
        self.add_callback(EpochEnds(self))
        if self._watch:
            self.add_callback(self._watch)

    def _resumption(self, asked: str | bool | None) -> Resumption:
        """Return what the run goes on from; every process must call this."""
        if not asked:
            return Resumption()
        found: Resumption = by_first(
            lambda: choose(self._checkpoints, asked, self._identity, self._allowed)
        )
        self._resumed, self._log.resumed_size = found.checkpoint, found.log_bytes
        self._changed = {d.key.partition(".")[0] for d in found.differences}
        return found

    def _train_durably(self, *arguments: Any) -> Any:
        """Run transformers' loop; a stop signal outside its epochs ends it, too."""
        try:
            return super().train(*arguments)
        except StopRequested as error:
            name = self._stop.received if self._stop else None
            raise Preempted(
                f"Stopped by {name} before the first step. Go on with --resume."
            ) from error
        finally:
            if self._watch:
                self._watch.stop()

    # -- resuming ---------------------------------------------------------------------------------

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Load weights; say so where they do not fit."""
        with fitting(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load their states, but for what was allowed to change."""
        if checkpoint is None:
            return
        fresh = hyperparameters(self.optimizer)
        base_rates = list(getattr(self.lr_scheduler, "base_lrs", []))
        for group, rate in zip(fresh, base_rates, strict=False):
            group.setdefault("initial_lr", rate)
        with fitting(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)
        apply_changes(self.optimizer, self.lr_scheduler, fresh, self._changed)

    def _run_epoch(self, model: Any, *args: Any, **kwargs: Any) -> None:
        """Run an epoch, or what is left of it; a stop signal ends it with a checkpoint."""
        try:
            self._finish_resumed_step(model)
            if self.state.global_step >= self.state.max_steps:  # resumed when all was done
                self.control.should_training_stop = True
                return
            super()._run_epoch(model, *args, **kwargs)
        except StopRequested as error:
            due = {"evaluate": True, "save": bool(self.control.should_save)}
            self._preempted(model, due if self._in_evaluation else {}, error)

    def _finalize_training(self, *args: Any) -> Any:
        """End the run; one that was resumed at its last step has to end that step first."""
        self._finish_resumed_step(self.model_wrapped)
        output = super()._finalize_training(*args)
        # transformers divides by the steps of this process; the sum is over all of them.
        return output._replace(training_loss=self._mean_loss())

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log a row; the loss of the whole run is that of all its processes' lives."""
        if "train_loss" in logs:
            logs["train_loss"] = self._mean_loss()
        super().log(logs, start_time)

    def _mean_loss(self) -> float:
        return self._total_loss_scalar / max(self.state.global_step, 0.001)

    def _finish_resumed_step(self, model: Any) -> None:
        """Take up the sums of the checkpoint, and do what was still due when it was saved."""
        if self._resumed is None:
            return
        folder, self._resumed = self._resumed, None
        found = read_sums(folder, self.args.process_index)
        if found is None:  # saved by fewer processes
            return
        sums, rows = found
        if len(rows):
            self._train_buffer.add(rows.to(self.args.device))
        self._tr_loss += sums.step_loss
        self._saved_at = self.state.global_step
        self._total_loss_scalar = sums.total_loss
        self._globalstep_last_logged = sums.last_logged
        self._last_norm, self._last_rate = sums.grad_norm, sums.learning_rate
        self._is_epoch_end = sums.at_epoch_end
        if sums.evaluate:
            self.control.should_evaluate, self.control.should_save = True, sums.save
            self._close(model)
        if not sums.at_epoch_end and self._stands_at_epoch_end():
            self.control = self.callback_handler.on_epoch_end(self.args, self.state, self.control)
            self._close(model)

    def _stands_at_epoch_end(self) -> bool:
        steps = self._steps_per_epoch
        return self.state.global_step >= self.state.max_steps or self.state.global_step % steps == 0

    def _init_training_state(self, max_steps: int, num_update_steps_per_epoch: int, *a: Any) -> Any:
        """Note how long an epoch is."""
        self._steps_per_epoch = max(1, num_update_steps_per_epoch)
        return super()._init_training_state(max_steps, num_update_steps_per_epoch, *a)

    def _close(self, model: Any) -> None:
        left = (self._last_norm, model, None, 0, None, time.time())
        self._maybe_log_save_evaluate(self._tr_loss, *left, learning_rate=self._last_rate)

    # -- numbers ----------------------------------------------------------------------------------

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Return the gradient norm; stop every process before the update if it is not finite."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        device = self.args.device
        if not isinstance(norm, torch.Tensor):
            norm = torch.full((), norm, device=device)
        finite = self._numbers.finite(device)
        health = step_health(finite, norm, told_to_stop=self._is_told_to_stop())
        self._last_norm, self._stop_agreed = health.norm, health.stops
        if health.has_bad_loss:
            then = "training stops before the update"
            self._fail(self._numbers.bad_loss(self.state.global_step, then))
        if bad := self._bad_gradient(model, health):
            self._fail(bad)
        self._numbers.clear()
        return health.norm

    def _bad_gradient(self, model: Any, health: StepHealth) -> str | None:
        """Return a sentence about a gradient that is not finite; all processes say the same."""
        if not health.has_bad_norm:
            self._overflows = 0
            return None
        if getattr(self.accelerator, "scaler", None) is not None:
            # With float16 the scaler leaves out such a step and lowers its scale.
            self._overflows += 1
            if self._overflows < _MOST_OVERFLOWS:
                return None
        names = bad_gradients(model)
        look = (
            "Look at the learning rate, at training.max_grad_norm and at the size of token weights."
        )
        return (
            f"The gradient norm is {health.norm} at step {self.state.global_step}, all losses are "
            "finite; training stops before the update. Gradients that are not finite: "
            f"{shown(names) or 'none; their squares overflow'}. {self._numbers.suspect() or look}"
        )

    def _require_finite_evaluation(self) -> None:
        """After an evaluation batch: stop every process if a loss is not finite, or if told to."""
        finite = self._numbers.finite(self.args.device)
        health = step_health(finite, torch.zeros_like(finite), told_to_stop=self._is_told_to_stop())
        if health.has_bad_loss:
            self._fail(self._numbers.bad_loss(self.state.global_step, "evaluation stops"))
        self._numbers.clear()
        if health.stops:
            raise StopRequested

    # -- stopping ---------------------------------------------------------------------------------

    def _is_told_to_stop(self) -> bool:
        return self._stop is not None and self._stop.received is not None

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        """Log, evaluate and save as it is due; then stop, if that was asked for."""
        model = args[2]
        self._last_rate = kwargs.get("learning_rate")
        self._closes_epoch = self._is_epoch_end
        if self.control.should_log:
            self._require_finite_state(with_optimizer=False)
        stops = self._stops_now()
        if stops and self.control.should_evaluate:
            due = {"evaluate": True, "save": bool(self.control.should_save)}
            self.control.should_evaluate = False
            self.control.should_save = False
            super()._maybe_log_save_evaluate(*args, **kwargs)
            self._preempted(model, due)
        super()._maybe_log_save_evaluate(*args, **kwargs)
        if stops:
            self._preempted(model, {})

    def _stops_now(self) -> bool:
        """Return whether every process stops after this step; they agreed before the update."""
        if self._stop_agreed or not (self._is_epoch_end or self.control.should_evaluate):
            return self._stop_agreed
        return any_flag([self._is_told_to_stop()], self.args.device)[0]

    def _evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate; a stop within it is known as such."""
        self._in_evaluation = True
        result = super()._evaluate(*args, **kwargs)
        self._in_evaluation = False
        return result

    def _preempted(
        self, model: Any, due: Mapping[str, bool], cause: BaseException | None = None
    ) -> None:
        """Save, if the step is not saved yet, and raise ``Preempted``."""
        self._in_evaluation = False
        self._numbers.clear()
        step = self.state.global_step
        if step and (due or self._saved_at != step):
            self._save_checkpoint(model, None, **due)
        name = self._stop.received if self._stop else None
        saved = f"checkpoint-{step} is saved" if step else "nothing was trained yet"
        message = (
            f"Stopped by {name or 'a signal to another process'} after step {step}; {saved}. Go on "
            "with --resume."
        )
        raise everyones(Preempted(message)) from cause
