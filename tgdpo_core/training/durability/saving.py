"""transformers' trainer with checkpoints that are whole or not there and hold no bad numbers."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import Trainer

from tgdpo_core.errors import CheckpointError, NumericError
from tgdpo_core.training.callbacks import JsonlLog
from tgdpo_core.training.durability.agreement import (
    any_flag,
    everyones,
    first_message,
    from_first,
)
from tgdpo_core.training.durability.checkpoints import Checkpoints
from tgdpo_core.training.durability.disk_errors import is_disk_error
from tgdpo_core.training.durability.free_space import checkpoint_bytes, require_space
from tgdpo_core.training.durability.manifest import damage, seal
from tgdpo_core.training.durability.numeric_guard import (
    StepNumbers,
    bad_parameters,
    bad_states,
    shown,
)
from tgdpo_core.training.durability.resume_guard import (
    write_identity,
)
from tgdpo_core.training.durability.running_sums import RunningSums
from tgdpo_core.training.metrics import MetricBuffer

# A loss scale of 2^16 is spent after 16 halvings: an overflow that stays is one of the model.
_MOST_OVERFLOWS = 32


class SavingTrainer(Trainer):
    """A ``transformers.Trainer`` whose saves survive whatever happens while they are written.

    The attributes are set by ``DurableTrainer``.
    """

    args: Any
    model: Any

    _checkpoints: Checkpoints
    _log: JsonlLog
    _train_buffer: MetricBuffer
    _identity: Mapping[str, Any]
    _numbers: StepNumbers
    _closes_epoch = False
    _saved_at = -1
    _last_norm: float | None = None
    _last_rate: float | None = None

    def _save_final_model(self, folder: Path) -> None:
        """Write the model, if it is finite; every process takes part."""
        self._require_finite_state(with_optimizer=False)
        if self.is_fsdp_enabled:
            self.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
        needed = checkpoint_bytes(self.model, None)
        self._raise_together(self._attempt_space(folder, needed, "The model"))
        self.save_model(str(folder))
        if self.args.should_save:
            seal(folder, {"step": self.state.global_step, "versions": versions_of(self._identity)})

    def _save_checkpoint(self, model: Any, trial: Any, **pending: bool) -> None:
        """Write a checkpoint aside, then make it one in one step.

        Args:
            model: as wrapped for training.
            trial: of a hyperparameter search; not supported.
            pending: what the step still has to do (``RunningSums``).

        Raises:
            NumericError: weights or optimizer state are not finite; nothing is written.
            CheckpointError: there is no room, or writing failed; what was saved before is kept.
        """
        step = self.state.global_step
        self._require_finite_state(with_optimizer=True)
        self.store_flos()
        self._name_best(step)
        self._raise_together(self._staged(step) if self.args.should_save else None)
        folder = self._checkpoints.folder / f".staged-checkpoint-{step}"
        self._raise_together(self._attempt(step, lambda: self._write_parts(folder, pending)))
        commit = lambda: self._commit(step) if self.args.should_save else None  # noqa: E731
        self._raise_together(self._attempt(step, commit))
        self._saved_at = step

    def _commit(self, step: int) -> None:
        path = self._checkpoints.commit(step, {"versions": versions_of(self._identity)})
        best = self.state.best_model_checkpoint
        self._checkpoints.rotate(
            self.args.save_total_limit, newest=path, keep=Path(best) if best else None
        )

    def _attempt(self, step: int, write: Callable[[], None]) -> str | None:
        """Write; return why that failed, if the disk did."""
        try:
            write()
        except (OSError, RuntimeError, SafetensorError) as error:
            if not is_disk_error(error):
                raise
            with contextlib.suppress(OSError):
                self._checkpoints.discard(step)
            return (
                f"The checkpoint of step {step} could not be written to "
                f"{self._checkpoints.folder}: {error}. What was saved before is kept; make room, "
                "then go on with --resume."
            )
        return None

    def _staged(self, step: int) -> str | None:
        """Make the folder to write to; return why that cannot be."""
        what = f"The checkpoint of step {step}"
        needed = checkpoint_bytes(self.model, None if self.args.save_only_model else self.optimizer)
        error = self._attempt_space(self._checkpoints.folder, needed, what)
        return error or self._attempt(step, lambda: self._stage(step))

    def _stage(self, step: int) -> None:
        self._checkpoints.stage(step)

    def _attempt_space(self, folder: Path, needed: int, what: str) -> str | None:
        """Return why something does not fit on the disk, if it does not."""
        # Sharded states are of about the same size everywhere.
        share = self.args.world_size if self.is_fsdp_enabled else 1
        try:
            require_space(folder, needed * share, what)
        except (CheckpointError, OSError) as error:
            return str(error)
        return None

    def _write_parts(self, folder: Path, pending: Mapping[str, bool]) -> None:
        self.save_model(str(folder), _internal_call=True)
        if not self.args.save_only_model:
            self._save_optimizer_and_scheduler(str(folder))
            self._save_scaler(str(folder))
            self._save_rng_state(str(folder))
        RunningSums(
            total_loss=self._total_loss_scalar,
            last_logged=self._globalstep_last_logged,
            step_loss=self._tr_loss.item(),
            grad_norm=self._last_norm,
            learning_rate=self._last_rate,
            log_bytes=self._log.size() if self.args.should_save else 0,
            **{"at_epoch_end": self._closes_epoch, **pending},
        ).write(folder, self.args.process_index, self._train_buffer.rows())
        if self.args.should_save:
            write_identity(folder, self._identity)
            self._note_callbacks()
            self.state.save_to_json(str(folder / "trainer_state.json"))

    def _note_callbacks(self) -> None:
        """Put the states of callbacks into the trainer state, as transformers does."""
        from transformers.trainer_callback import ExportableState

        for callback in [*self.callback_handler.callbacks, self.control]:
            if isinstance(callback, ExportableState):
                name = type(callback).__name__
                kept: Any = self.state.stateful_callbacks
                state = callback.state()
                if isinstance(kept[name], list):
                    kept[name].append(state)
                else:
                    kept[name] = state

    def _name_best(self, step: int) -> None:
        """Note where the best checkpoint is: among the saved ones, or the one about to be."""
        best = self.state.best_global_step
        if best:
            path = self._checkpoints.folder / f"checkpoint-{best}"
            if best == step or path.is_dir():
                self.state.best_model_checkpoint = str(path)

    def _load_best_model(self) -> None:
        """Load the best checkpoint, if it is what was saved."""
        best = Path(str(self.state.best_model_checkpoint))
        wrong = from_first(damage(best) if self.args.process_index == 0 else None)
        if wrong:
            raise CheckpointError(
                f"The best checkpoint cannot be loaded: {best}: {'; '.join(wrong[:3])}. Continue "
                "with --resume and training.load_best_model_at_end=false to keep the last weights."
            )
        super()._load_best_model()

    def _require_finite_state(self, *, with_optimizer: bool) -> None:
        """Stop every process if weights or optimizer state are not finite."""
        bad = None
        step = self.state.global_step
        if names := bad_parameters(self.model):
            bad = f"{shown(names)}: weights are not finite after step {step}; they are not saved"
        elif with_optimizer and (names := bad_states(self.optimizer)):
            bad = f"{shown(names)}: not finite after step {step}; nothing is saved"
        if any_flag([bad is not None], self.args.device)[0]:
            self._fail(bad and f"{bad}. Lower the learning rate, or set training.max_grad_norm.")

    def _fail(self, bad: str | None) -> None:
        """Raise the first message on every process, when each has written what it saw."""
        message = first_message(bad)
        place = self._numbers.keep(
            self.state.global_step, self.args.process_index, bad or str(message), self.model
        )
        self._numbers.clear()
        raise everyones(NumericError(f"{message} The batch is kept in {place}."))

    def _raise_together(self, error: str | None) -> None:
        """Raise ``CheckpointError`` on every process if the first has one."""
        if any_flag([error is not None], self.args.device)[0]:
            raise everyones(CheckpointError(first_message(error)))


def versions_of(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the versions of packages that are part of a run's identity."""
    start = "versions."
    return {k.removeprefix(start): v for k, v in identity.items() if k.startswith(start)}
