"""The trainer: transformers' loop around the engine, one forward and one backward a step."""

import contextlib
import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.engine.losses import preference_loss, sft_loss
from tgdpo_core.engine.policy import attach, plain_copy
from tgdpo_core.errors import UsageError
from tgdpo_core.models.adapters import record_base
from tgdpo_core.models.checks import embedding_rows
from tgdpo_core.models.loading import NO_TRUST, Policy, Trust
from tgdpo_core.models.precision import Precision, mixed_precision
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.plugin_api.rewards import TokenReward
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.plugin_api.transforms import Transform
from tgdpo_core.preparation.plan import store_of
from tgdpo_core.preparation.prepared import prepare
from tgdpo_core.preparation.references import given_reference, own_reference
from tgdpo_core.preparation.scored_table import ScoredTable, score
from tgdpo_core.scoring.fits import require_fit
from tgdpo_core.scoring.scorer import Reference, Scorer, ScoringSettings
from tgdpo_core.scoring.sources import resolve_shaping
from tgdpo_core.training.batches import PairBatch, collate, make_rows
from tgdpo_core.training.callbacks import StepClock, replace_progress_bar
from tgdpo_core.training.config import TGDPOConfig
from tgdpo_core.training.durability.agreement import by_first
from tgdpo_core.training.durability.folder_lock import held
from tgdpo_core.training.durability.identity import run_identity, with_keys
from tgdpo_core.training.durability.rank_agreement import require_same_run, require_shared_folder
from tgdpo_core.training.durability.resumption import Resumption
from tgdpo_core.training.durability.signals import stop_signals
from tgdpo_core.training.durability.trainer import DurableTrainer
from tgdpo_core.training.given_data import given_data
from tgdpo_core.training.given_rows import EvalData, TrainData
from tgdpo_core.training.hub import push_run
from tgdpo_core.training.inputs import (
    given_policy,
    resolve_sources,
    tokenizer_of,
)
from tgdpo_core.training.judging import JudgePolicy, Judging
from tgdpo_core.training.limits import (
    default_tokens_per_row,
    out_of_memory,
    packing_summary,
    peak_memory_mib,
)
from tgdpo_core.training.metrics import MetricBuffer, error_aucs, pair_metrics
from tgdpo_core.training.model_card import last_metrics, model_card, settings_yaml
from tgdpo_core.training.rank_rows import EpochPlace, weightless
from tgdpo_core.training.record import environment, scoring_facts, seeds
from tgdpo_core.training.run_folder import RunFolder
from tgdpo_core.training.trainer_arguments import check_trainer_arguments, text_of_path


class TGDPOTrainer(DurableTrainer):
    """Trains a causal language model with TGDPO (arXiv 2506.14574, eq. 20).

    Building it validates and tokenizes the data and runs the scoring pass, so that nothing but
    the policy is in memory when ``train`` is called.

    Args:
        model: the policy, or the name or folder it is loaded from.
        ref_model: the reference, or its name or folder; None is the policy as it is now.
        args: settings; ``args.output_dir`` is the run folder.
        train_dataset: preference pairs: rows in one of the known formats (``datasets.Dataset``, a
            list of dicts, a pandas ``DataFrame``, an iterator or ``IterableDataset`` of up to
            ``args.max_streamed_rows`` rows, a ``DatasetDict`` with one split or with ``train``),
            or tokenized pairs.
        eval_dataset: the same for evaluation (of a ``DatasetDict`` every split), a dict from names
            to such data (metrics are then called ``eval_NAME_...``), or None.
        processing_class: the tokenizer; None loads the one beside the model.
        token_reward: a registered name, a recipe entry (``{"plugin": ..., "args": ...}``), a
            ``TokenReward``, a list of these (summed), or None for plain DPO.
        transforms: applied in order to the token rewards, where ``token_reward`` is a single one.
        shaping: a registered name, a ``Shaping``, or one with its name: rewards to weights.
        plugins: where names are found; None loads what is installed.
        precision: number formats of frozen models; None takes those of the policy.
        trust: what the files of models named here may do; nothing by default.
        judging: answers that are generated and judged during training, or None.
        facts: JSON that the caller wants in run.json (data report, recipe).
        config_yaml: the resolved recipe, kept as config.yaml.
        allow_changed: what may differ from the run that a checkpoint belongs to (keys of its
            ``identity.json``, or the word before their dot).
        kwargs: passed to ``transformers.Trainer``: ``callbacks``, ``optimizers`` or
            ``optimizer_cls_and_kwargs``; others are refused.

    Raises:
        TgdpoError: whatever is wrong with data, plugins or settings, before anything is trained.
    """

    args: TGDPOConfig
    model: Any  # a PreTrainedModel, or one wrapped by peft
    processing_class: Any
    train_dataset: Any
    eval_dataset: Any

    loss_is_scaled_for_ga = True  # training_step divides by the pairs of the optimizer step

    def __init__(  # noqa: PLR0913 - the public contract
        self,
        model: Any,
        ref_model: Any = None,
        args: TGDPOConfig | None = None,
        train_dataset: TrainData | None = None,
        eval_dataset: EvalData | None = None,
        processing_class: Any = None,
        token_reward: str | TokenReward | Mapping[str, Any] | Sequence[Any] | None = None,
        transforms: Sequence[Transform] = (),
        shaping: str | Shaping | tuple[str, Shaping] = "linear",
        *,
        plugins: PluginManager | None = None,
        precision: Precision | None = None,
        trust: Trust = NO_TRUST,
        judging: Judging | None = None,
        facts: Mapping[str, Any] | None = None,
        config_yaml: str | None = None,
        allow_changed: Collection[str] = (),
        **kwargs: Any,
    ) -> None:
        model, ref_model = text_of_path(model), text_of_path(ref_model)
        args = args or TGDPOConfig(output_dir="runs/tgdpo")
        given_by_user = {
            "model": model,
            "ref_model": ref_model,
            "train_dataset": train_dataset,
            "eval_dataset": eval_dataset,
        }
        check_trainer_arguments(type(self).__init__, args, given_by_user, kwargs)
        plugins = plugins or PluginManager()
        self._facts: dict[str, Any] = {"model": _name_of(model), **(facts or {})}
        self._config_yaml = config_yaml
        self._folder = RunFolder(str(args.output_dir))
        by_first(self._folder.require_own)
        self._shaping = resolve_shaping(shaping, plugins)
        sources = resolve_sources(token_reward, transforms, plugins)
        tokenizer = processing_class or tokenizer_of(model)
        data = given_data(train_dataset, eval_dataset, tokenizer, args)
        train_tokens, eval_tokens = data.train, data.evaluation
        self._facts = {**data.facts, **self._facts}
        given = given_policy(model, args.learning_rate)
        policy = given.model
        for table in (train_tokens, *eval_tokens.values()):
            require_fit(policy, table, tokenizer, "the policy")
        mixed = mixed_precision(bf16=args.bf16, fp16=args.fp16, device=args.device)
        precision = precision or Precision(policy.dtype, mixed)
        scorer = Scorer(
            self._reference(given, ref_model, tokenizer, precision, trust, args.device),
            sources,
            tokenizer,
            ScoringSettings(store_of(args.store_path), args.device, precision, trust),
        )
        identity = self._agreed(scorer, given, (train_tokens, eval_tokens), args)
        prepared = prepare(
            score(scorer, train_tokens, eval_tokens, shaping=self._shaping, beta=args.beta),
            scorer,
            shaping=self._shaping,
            beta=args.beta,
            judge=(judging.name, judging.judge) if judging else None,
        )
        scored, diagnostics = prepared.scored, prepared.diagnostics
        self._error_aucs = error_aucs(diagnostics)
        self._facts["precision"] = precision.document()
        self._facts |= scoring_facts(scorer, scored.train, self._shaping, diagnostics)
        compared = plain_copy(scorer.reference.load()) if judging and judging.kl else None
        super().__init__(
            model=policy,
            args=args,
            data_collator=collate,
            train_dataset=scored.train.for_training(),
            eval_dataset=_evaluation_sets(scored.evaluation),
            processing_class=tokenizer,
            **kwargs,
        )
        self._attach_engine(train_tokens)
        self._online = scored.train.online
        self._place = EpochPlace(
            len(train_tokens), self._train_batch_size, args.process_index, args.world_size
        )
        self._buffers = {"train": MetricBuffer(), "eval": MetricBuffer()}
        self._clock = StepClock()
        self.add_callback(self._clock)
        self._be_durable(
            self._folder, self._buffers["train"], with_keys(identity, scorer.keys), allow_changed
        )
        if judging:
            self.add_callback(JudgePolicy(judging, tokenizer, self.log, compared))
        replace_progress_bar(self)

    def _agreed(
        self, scorer: Scorer, policy: Policy, pairs: Any, args: TGDPOConfig
    ) -> dict[str, Any]:
        """Return what decides the run's numbers, when all processes agree on it."""
        identity = run_identity(args, scorer, policy, pairs=pairs, shaping=self._shaping)
        require_same_run(identity)
        require_shared_folder(scorer.settings.store, "the store (TGDPO_STORE)")
        require_shared_folder(self._folder.path, "the run folder (output_dir)")
        return identity

    def _attach_engine(self, tokens: TokenTable) -> None:
        """Put the engine into the model's forward, and note for run.json what it chose."""
        self._engine = attach(
            self.model, layout=self.args.layout, chunk_size=self.args.logits_chunk_size
        )
        self._tokens_per_row = self.args.tokens_per_row or default_tokens_per_row(self.args.device)
        self._facts["engine"] = {
            **asdict(self._engine.choice),
            "tokens_per_row": self._tokens_per_row,
            "packing": packing_summary(tokens.counts, self.args.per_device_train_batch_size),
        }

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Return the metrics of the evaluation sets, or of the one with a name.

        Raises:
            UsageError: rows in place of a name: they must be scored, so the constructor takes them.
        """
        if eval_dataset is not None and not isinstance(eval_dataset, str):
            raise UsageError(
                "evaluate() takes the name of an evaluation set, no rows: give them to the "
                "trainer, TGDPOTrainer(eval_dataset={'name': rows}), where they are scored."
            )
        named: Any = eval_dataset
        metrics: dict[str, float] = super().evaluate(named, ignore_keys, metric_key_prefix)
        return metrics

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: a preference-trained model predicts no labels."""
        raise UsageError("There is nothing to predict: see evaluate(), and tgdpo evaluate.")

    @staticmethod
    def _reference(
        policy: Policy,
        ref_model: Any,
        tokenizer: Any,
        precision: Precision,
        trust: Trust,
        device: torch.device,
    ) -> Reference:
        """Return the reference; the policy goes to its device."""
        policy.model.to(device)
        if ref_model is None:
            return own_reference(policy, device)
        rows = embedding_rows(policy.model)
        return given_reference(
            ref_model, tokenizer, precision=precision, policy_rows=rows, trust=trust
        )

    # -- the step ---------------------------------------------------------------------------------

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> Any:
        """Return the rows of an optimizer step, and the number of its pairs over all processes.

        The pairs of all micro-batches are packed together, so that accumulation costs nothing; the
        rows go to the last micro-batch, where gradients are synchronised, and the others are empty.
        """
        batches = list(itertools.islice(epoch_iterator, num_batches))
        if not batches:
            return [], None
        self._place.begin(epoch_iterator, self._first_batch())
        pairs = self._place.counted(batches)
        count = torch.tensor(len(pairs), device=device)
        # Where all pairs of this process only fill the batch, one still keeps it in step.
        rows, _ = make_rows(pairs or batches[0]["pairs"][:1], self._engine, self._tokens_per_row)
        if not pairs:
            rows = [weightless(row) for row in rows]
        if self.is_fsdp_enabled:
            most = int(self.accelerator.gather(torch.tensor([len(rows)], device=device)).max())
            rows = [weightless(min(rows, key=lambda row: row.row.num_tokens))] * (
                most - len(rows)
            ) + rows
        empty: list[dict[str, list[PairBatch]]] = [{"rows": []} for _ in batches[1:]]
        total = self.accelerator.gather(count).sum() if self.args.world_size > 1 else count
        return [*empty, {"rows": rows}], total

    def _first_batch(self) -> int:
        """Return how many batches of its epoch a resumed run has taken."""
        if self.args.ignore_data_skip:
            return 0
        per_epoch = math.ceil(self._place.batches_per_epoch / self.args.gradient_accumulation_steps)
        return self.state.global_step % per_epoch * self.args.gradient_accumulation_steps

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a micro-batch: one forward and one backward for each of its rows."""
        model.train()
        total = torch.zeros((), device=self.args.device)
        for i, batch in enumerate(inputs["rows"]):
            is_last = i == len(inputs["rows"]) - 1
            # Processes have different numbers of rows, so gradients may meet only at the last one.
            with contextlib.nullcontext() if is_last else self.accelerator.no_sync(model):
                total += self._row_step(model, batch, num_items_in_batch)
        return total

    def _row_step(self, model: Any, batch: PairBatch, num_pairs: Any) -> torch.Tensor:
        """Return a row's share of the step's loss, its gradient accumulated."""
        try:
            with self.compute_loss_context_manager():
                loss, metrics = self._row_loss(model, batch)
            if batch.counts:
                self._buffers["train"].add(metrics)
            else:
                loss = loss * 0.0
            # Data parallelism averages gradients over processes; the pairs were counted over all.
            loss = loss * self.accelerator.num_processes / num_pairs
            self.accelerator.backward(loss)
        except torch.OutOfMemoryError as error:
            raise out_of_memory(batch, self._tokens_per_row) from error
        return loss.detach()

    def _row_loss(self, model: Any, batch: PairBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the summed loss of a row's pairs, and their metrics [P, K]."""
        batch = batch.to(self.args.device)
        row = batch.row
        policy_logps = model(row=row)
        if self._online:
            batch = batch.scored_online(self._online, policy_logps.detach())
        loss = preference_loss(
            policy_logps,
            batch.reference_logps,
            batch.weights,
            row.pair_ids,
            row.is_chosen,
            num_pairs=row.num_pairs,
            beta=self.args.beta,
            loss=self.args.loss_type,
            label_smoothing=self.args.label_smoothing,
            simpo_gamma=self.args.simpo_gamma,
        )
        losses = loss.losses
        if self.args.sft_weight:
            sft = sft_loss(policy_logps, row.pair_ids, row.is_chosen, num_pairs=row.num_pairs)
            losses = losses + self.args.sft_weight * sft
        self._numbers.add(batch, policy_logps, losses)
        metrics = pair_metrics(batch, policy_logps.detach(), loss, losses, beta=self.args.beta)
        return losses.sum(), metrics

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the mean loss of a batch of scored pairs (``{"pairs": [...]}``)."""
        rows, _ = make_rows(inputs["pairs"], self._engine, self._tokens_per_row)
        total = torch.stack([self._row_loss(model, batch)[0] for batch in rows]).sum()
        self._require_finite_evaluation()
        mean = total / len(inputs["pairs"])
        return (mean, None) if return_outputs else mean

    def prediction_step(
        self,
        model: Any,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Any, None, None]:
        """Return the mean loss of an evaluation batch; the metrics go into the buffer."""
        rows, order = make_rows(inputs["pairs"], self._engine, self._tokens_per_row)
        with torch.no_grad(), self.compute_loss_context_manager():
            parts = [self._row_loss(model, batch) for batch in rows]
        self._require_finite_evaluation()
        metrics = torch.cat([metrics for _, metrics in parts])
        # Back in the order of the data, and gathered at once: only here is it known which rows at
        # the end of the last batch are repeats.
        metrics = metrics[torch.tensor(order, device=metrics.device).argsort()]
        self._buffers["eval"].add(self.accelerator.gather_for_metrics(metrics))
        return torch.stack([loss for loss, _ in parts]).sum() / len(order), None, None

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Return transformers' output with our metrics in place of its batch-weighted loss."""
        output = super().evaluation_loop(*args, **kwargs)
        prefix = kwargs.get("metric_key_prefix", "eval")
        metrics = self._buffers["eval"].pop().metrics
        ours = {f"{prefix}_{name}": value for name, value in metrics.items()}
        return output._replace(metrics={**(output.metrics or {}), **ours})

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log a row; training rows get the metrics of the pairs since the last one."""
        if "loss" in logs:
            gather = self._gather_rows if self.args.world_size > 1 else None
            since = self._buffers["train"].pop(gather)
            logs = {**logs, **since.metrics, **self._error_aucs}
            if seconds := self._clock.pop_seconds():
                logs["tokens_per_second"] = since.num_tokens / seconds
                logs["pairs_per_second"] = since.num_pairs / seconds
            logs["peak_memory_mib"] = peak_memory_mib(self.args.device)
        super().log(logs, start_time)

    def _gather_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the metric rows of all processes, which may have different numbers of them."""
        padded = self.accelerator.pad_across_processes(rows, dim=0, pad_index=torch.nan)
        joined: torch.Tensor = self.accelerator.gather(padded)
        return joined[~joined[:, 0].isnan()]

    # -- the run ----------------------------------------------------------------------------------

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
            arguments = (checkpoint, trial, ignore_keys_for_eval)
            if not self.is_world_process_zero():
                return self._train_and_save(*arguments)
            output = self._recorded(resumption, resumes, *arguments)
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
            output = self._train_and_save(*arguments)
            metrics = last_metrics(self.state.log_history)
            card = model_card(self._folder.path.name, self.args, self._facts, metrics)
            self._folder.commit_model(card)
            note(metrics=metrics, global_step=self.state.global_step)
            self._folder.write_text("README.md", card)
        return output

    def _train_and_save(self, *arguments: Any) -> Any:
        """Train and write the model; every process takes part, sharded weights are gathered."""
        try:
            output = self._train_durably(*arguments)
        finally:
            if self._online:
                self._online.close()
        self._save_final_model(self._folder.staged_model)
        return output

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
                self.init_hf_repo(token=token, private=private)
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
        model.save_pretrained(target, state_dict=state_dict)
        record_base(model, Path(target))
        self.processing_class.save_pretrained(target)

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 6 x parameters x tokens, the usual estimate of forward and backward."""
        num_tokens = sum(batch.row.num_tokens for batch in inputs["rows"])
        return int(6 * self.model.num_parameters() * num_tokens)


def _name_of(model: Any) -> str:
    """Return what a model was loaded from; empty where nobody knows."""
    if isinstance(model, str):
        return model
    return str(getattr(getattr(model, "config", None), "_name_or_path", "") or "")


def _evaluation_sets(scored: Mapping[str, ScoredTable]) -> Any:
    """Return the evaluation data as transformers takes it: one set, or several by name."""
    if "" in scored:
        return scored[""].for_training()
    return {name: table.for_training() for name, table in scored.items()} or None
