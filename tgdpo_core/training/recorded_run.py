"""A run that leaves a complete folder behind: record, settings, log, model, card; and its push."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tgdpo_core.errors import TgdpoError, UsageError
from tgdpo_core.models.adapters import record_base
from tgdpo_core.scoring.online import OnlineRewards
from tgdpo_core.training.callbacks import RewardSteps
from tgdpo_core.training.config import TGDPOConfig
from tgdpo_core.training.durability.agreement import by_first, gathered
from tgdpo_core.training.durability.folder_lock import held
from tgdpo_core.training.durability.resumption import Resumption
from tgdpo_core.training.durability.signals import stop_signals
from tgdpo_core.training.durability.trainer import DurableTrainer
from tgdpo_core.training.hub import push_run
from tgdpo_core.training.judging import JudgePolicy
from tgdpo_core.training.model_card import (
    CardFacts,
    last_metrics,
    model_card,
    settings_yaml,
)
from tgdpo_core.training.pictures import Pictures
from tgdpo_core.training.record import environment, seeds
from tgdpo_core.training.run_folder import RunFolder
from tgdpo_core.training.tracked import TrackedTraining


class RecordedRun(DurableTrainer):
    """Trains as ``DurableTrainer`` does and keeps the run folder.

    A subclass sets the attributes.

    Attributes:
        _folder: of the run.
        _facts: what run.json says beside status and versions.
        _config_yaml: the resolved recipe, or None for a run made in Python.
        _tracked: what trackers are told.
        _judged: what asks a judge during training, or None.
        _online: dynamic reward sources, closed at the end; None without any.
        _pictures: what the run leaves to look at.
    """

    args: TGDPOConfig
    processing_class: Any

    _folder: RunFolder
    _facts: dict[str, Any]
    _config_yaml: str | None
    _tracked: TrackedTraining
    _online: OnlineRewards | None
    _pictures: Pictures
    _judged: JudgePolicy | None = None

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> Any:
        """Train, and leave a complete run folder; return transformers' output.

        Args:
            resume_from_checkpoint: True for the newest checkpoint of the run folder (from the start
                if it has none), or the folder of one.
            trial: as in ``transformers.Trainer``.
            ignore_keys_for_eval: as in ``transformers.Trainer``.

        Raises:
            UsageError: the output folder holds another run, or files that no run wrote.
            NumericError: the loss is not finite.
        """
        resumes, overwrites = bool(resume_from_checkpoint), self.args.overwrite
        by_first(lambda: self._folder.require_free(resume=resumes, overwrite=overwrites))
        with contextlib.ExitStack() as stack:
            self._stop = stack.enter_context(stop_signals())
            if self.is_world_process_zero():
                stack.enter_context(held(self._folder.path))
            resumption = self._resumption(resume_from_checkpoint)
            checkpoint = str(resumption.checkpoint) if resumption.checkpoint else None
            if self._online:
                self._follow_rewards(self._online, resumption.checkpoint)
            arguments = (checkpoint, trial, ignore_keys_for_eval)
            try:
                if not self.is_world_process_zero():
                    return self._train_and_save(*arguments)
                output = self._recorded(resumption, resumes, *arguments)
            except TgdpoError as error:
                if error.is_everyones:
                    # A launcher ends the others when one leaves: the first has its record by then.
                    gathered(None)
                raise
        if self.args.push_to_hub:
            self.push_to_hub()
        return output

    def _recorded(self, resumption: Resumption, resumes: bool, *arguments: Any) -> Any:
        """Train as the process that keeps the run's record."""
        if self.args.overwrite and not resumes:
            self._folder.clear()
        facts = {**environment(), **self._facts, **seeds(self.args), **self._folder.past(resumes)}
        if resumes:
            facts["resumes"] = [*facts.get("resumes", ()), resumption.record()]
        with self._folder.running(facts) as note:
            if self._config_yaml:
                self._folder.write_config("config.yaml", self._config_yaml)
            else:
                self._folder.write_config("settings.yaml", settings_yaml(self.args))
            self._pictures.begin(self._folder)
            with self._tracking(resumption, note):
                output = self._train_and_save(*arguments)
            metrics = last_metrics(self.state.log_history)
            scores = self._judged.last if self._judged else {}
            config = getattr(self.model, "config", None)
            known = CardFacts(
                self._facts,
                metrics,
                config=config,
                scores=scores,
                has_chat_template=bool(getattr(self.processing_class, "chat_template", None)),
            )
            card = model_card(self._folder.path.name, self.args, known)
            self._folder.commit_model(card)
            note(metrics=metrics, global_step=self.state.global_step)
            self._folder.write_text("README.md", card)
        if report := self._pictures.finish(self._folder):
            note(**report)
        return output

    @contextlib.contextmanager
    def _tracking(self, resumption: Resumption, note: Callable[..., None]) -> Iterator[None]:
        """Keep a run of every tracker open while the run goes on."""
        checkpoint = resumption.checkpoint
        step = int(checkpoint.name.rpartition("-")[2]) if checkpoint else None
        self._tracked.begin(resumed_at=step)
        try:
            yield
        except BaseException:
            self._tracked.end(failed=True)
            raise
        self._tracked.end(failed=False)
        if failures := self._tracked.failures:
            note(trackers_failed=failures)

    def _train_and_save(self, *arguments: Any) -> Any:
        """Train and write the model; every process takes part, sharded weights are gathered."""
        try:
            output = self._train_durably(*arguments)
        finally:
            if self._online:
                self._online.close()
        self._save_final_model(self._folder.staged_model)
        return output

    def _follow_rewards(self, online: OnlineRewards, checkpoint: Path | None) -> None:
        """Have online rewards go on from a checkpoint, and be told of every step."""
        if checkpoint:
            online.restore(checkpoint, self.args.process_index)
        self.remove_callback(RewardSteps)  # that of an earlier call
        self.add_callback(RewardSteps(online))

    def _write_parts(self, folder: Path, pending: Mapping[str, bool]) -> None:
        """Write what belongs to a checkpoint, and what online rewards have learnt."""
        super()._write_parts(folder, pending)
        if self._online:
            self._online.save(folder, self.args.process_index)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write model and tokenizer to a folder (default: the run's ``model/``); push nothing."""
        super().save_model(output_dir or str(self._folder.model), _internal_call=True)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Push nothing: a run is pushed once, when it is done."""

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Upload the finished run's ``model/`` with its card, in one commit, and nothing else.

        Args:
            commit_message: of the commit.
            blocking: False returns a future at once.
            token: of the Hub; None is ``args.hub_token``, then what ``hf auth login`` left.
            revision: branch to commit to; None is ``args.hub_revision``, then ``main``.
            private: whether a repository that must be made is private.
            kwargs: refused.

        Raises:
            UsageError: the run is not done, or the Hub cannot be used.
        """
        if kwargs:
            raise UsageError(
                f"push_to_hub() takes no {min(kwargs)}: the card is the run's README.md; edit it "
                "in model/ before you push."
            )
        if not self.is_world_process_zero():
            return None
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        with push_run(self._folder) as upload:
            if self.hub_model_id is None:
                if private is not None:  # transformers 5.17 takes it from the arguments alone
                    self.args.hub_private_repo = private
                self.init_hf_repo(token=token)
            return upload(
                repo_id=self.hub_model_id,
                commit_message=commit_message,
                token=token or self.args.hub_token,
                revision=revision or self.args.hub_revision,
                run_as_future=not blocking,
            )

    def _get_output_dir(self, trial: Any) -> str:
        """Return where checkpoints are written."""
        return str(self._folder.checkpoints)

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        """Write model and tokenizer; no pickle of the settings, which may hold a token."""
        if not self.args.should_save:
            return
        target = output_dir or str(self._folder.model)
        model: Any = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        if state_dict is not None:
            state_dict = _tied(state_dict, model)
        model.save_pretrained(target, state_dict=state_dict)
        record_base(model, Path(target))
        self.processing_class.save_pretrained(target)


def _tied(gathered: dict[str, Any], model: Any) -> dict[str, Any]:
    """Return gathered weights in which tied names share a tensor, so that it is written once."""
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    same = {name: gathered[of] for name, of in tied.items() if name in gathered and of in gathered}
    return {**gathered, **same}
