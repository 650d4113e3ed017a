"""The trainer: whatever a user gives it, prepared, and then the loop of ``loop.py``."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.engine.compiled_layers import compile_layers
from tgdpo_core.engine.policy import attach
from tgdpo_core.models.checks import embedding_rows
from tgdpo_core.models.loading import NO_TRUST, Policy, Trust
from tgdpo_core.models.precision import Precision, frozen_dtype, mixed_precision
from tgdpo_core.plugin_api.losses import Loss
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.plugin_api.rewards import TokenReward
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.plugin_api.transforms import Transform
from tgdpo_core.preparation.plan import store_of
from tgdpo_core.preparation.prepared import prepare
from tgdpo_core.preparation.references import given_reference, own_reference
from tgdpo_core.preparation.scored_table import ScoredTable, score
from tgdpo_core.recipe.rounding import rounds_stochastically
from tgdpo_core.scoring.fits import require_fit
from tgdpo_core.scoring.scorer import Scorer
from tgdpo_core.scoring.settings import Reference, ScoringSettings
from tgdpo_core.scoring.sources import resolve_shaping
from tgdpo_core.training.batches import collate
from tgdpo_core.training.callbacks import StepClock, replace_progress_bar
from tgdpo_core.training.compared import compared_with
from tgdpo_core.training.config import TGDPOConfig
from tgdpo_core.training.durability.agreement import by_first
from tgdpo_core.training.durability.identity import run_identity, with_keys
from tgdpo_core.training.durability.rank_agreement import require_same_run, require_shared_folder
from tgdpo_core.training.durability.resumption import Resumption
from tgdpo_core.training.given_data import given_data
from tgdpo_core.training.given_rows import EvalData, TrainData
from tgdpo_core.training.inputs import (
    given_loss,
    given_policy,
    name_of,
    resolve_sources,
    tokenizer_of,
)
from tgdpo_core.training.judging import JudgePolicy, Judging
from tgdpo_core.training.limits import packing_summary
from tgdpo_core.training.loop import PairLoop
from tgdpo_core.training.low_bit_adamw import optimizer_of
from tgdpo_core.training.metrics import MetricBuffer, error_aucs
from tgdpo_core.training.pictures import Pictures
from tgdpo_core.training.processes import process_facts
from tgdpo_core.training.rank_rows import epoch_place
from tgdpo_core.training.record import scoring_facts
from tgdpo_core.training.row_loss import RowLoss
from tgdpo_core.training.row_size import row_size
from tgdpo_core.training.run_folder import RunFolder
from tgdpo_core.training.sharded_precision import set_sharded_precision
from tgdpo_core.training.step_reader import StepReader
from tgdpo_core.training.tracked import check_trackers, track
from tgdpo_core.training.trainer_arguments import check_trainer_arguments, text_of_path


class TGDPOTrainer(PairLoop):
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
        loss: a ``Loss``, or one with its name; None is the registered one that ``args.loss_type``
            names, with the options ``args.loss_args``.
        plugins: where names are found; None loads what is installed.
        precision: number formats of frozen models; None takes those of the policy, bfloat16
            weights under bfloat16 autocast on a GPU.
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

    model: Any  # a PreTrainedModel, or one wrapped by peft
    train_dataset: Any
    eval_dataset: Any

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
        loss: Loss | tuple[str, Loss] | None = None,
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
        check_trainer_arguments(
            type(self).__init__,
            args,
            {"model": model, "ref_model": ref_model}
            | {"train_dataset": train_dataset, "eval_dataset": eval_dataset},
            kwargs,
        )
        check_trackers(args)
        plugins = plugins or PluginManager()
        self._facts: dict[str, Any] = {"model": name_of(model), **(facts or {})}
        self._config_yaml = config_yaml
        self._folder = RunFolder(str(args.output_dir))
        by_first(self._folder.require_own)
        self._shaping = resolve_shaping(shaping, plugins)
        of_run = given_loss(loss, args, plugins)
        sources = resolve_sources(token_reward, transforms, plugins)
        tokenizer = processing_class or tokenizer_of(model)
        data = given_data(train_dataset, eval_dataset, tokenizer, args)
        self._place = epoch_place(len(data.train), args.train_batch_size, args)
        self._facts = {**data.facts, **self._facts}
        given = given_policy(model, args)
        policy = given.model
        for table in (data.train, *data.evaluation.values()):
            require_fit(policy, table, tokenizer, "the policy")
        mixed = mixed_precision(bf16=args.bf16, fp16=args.fp16, device=args.device)
        precision = precision or Precision(
            frozen_dtype(
                policy.dtype,
                autocast=mixed,
                device=args.device,
                has_reference=ref_model is not None,
            ),
            mixed,
        )
        scorer = Scorer(
            self._reference(given, ref_model, tokenizer, precision, trust, args.device),
            sources,
            tokenizer,
            ScoringSettings(store_of(args.store_path), args.device, precision, trust),
            of_run,
        )
        identity = self._agreed(scorer, given, (data.train, data.evaluation), args)
        prepared = prepare(
            score(scorer, data.train, data.evaluation, shaping=self._shaping, beta=args.beta),
            scorer,
            shaping=self._shaping,
            beta=args.beta,
            judge=(judging.name, judging.judge) if judging else None,
        )
        scored, diagnostics = prepared.scored, prepared.diagnostics
        self._error_aucs = error_aucs(diagnostics)
        self._facts |= {
            "precision": {**precision.document(), "policy": str(policy.dtype)},
            "adapter": bool(getattr(policy, "peft_config", None)),
            **scoring_facts(scorer, scored.train, self._shaping, diagnostics),
        }
        compared = compared_with(judging, policy, scorer, ref_model, tokenizer, trust)
        super().__init__(
            model=policy,
            args=args,
            data_collator=collate,
            train_dataset=scored.train.for_training(),
            eval_dataset=_evaluation_sets(scored.evaluation),
            processing_class=tokenizer,
            **kwargs,
        )
        self._attach_engine(data.train)
        self._online = scored.train.online
        self._pictures = Pictures(prepared, tokenizer, is_on=args.write_report)
        self._begin_metrics(RowLoss(of_run, args.beta, scorer.distribution))
        self._be_durable(
            self._folder, self._buffers["train"], with_keys(identity, scorer.keys), allow_changed
        )
        if judging:
            store = scorer.settings.store
            self._judged = JudgePolicy(judging, tokenizer, self.log, compared, store)
            self.add_callback(self._judged)
        replace_progress_bar(self)
        self._tracked = track(self, self._folder, (self._facts, config_yaml, scored.train))

    def _begin_metrics(self, loss: RowLoss) -> None:
        """Set up what a step is measured with."""
        self._loss = loss
        self._buffers = {name: MetricBuffer(self._loss.metric_names) for name in ("train", "eval")}
        self._clock = StepClock()
        self._reader = StepReader(self._read_step)
        for callback in (self._clock, self._reader, self._pictures):
            self.add_callback(callback)

    def _agreed(
        self, scorer: Scorer, policy: Policy, pairs: Any, args: TGDPOConfig
    ) -> dict[str, Any]:
        """Return what decides the run's numbers, when all processes agree on it."""
        identity = run_identity(args, scorer, policy, pairs=pairs, shaping=self._shaping)
        require_same_run(identity)
        require_shared_folder(scorer.settings.store, "the store (TGDPO_STORE)")
        require_shared_folder(self._folder.path, "the run folder (output_dir)")
        return identity

    def create_accelerator_and_postprocess(self) -> None:
        """Make the accelerator, with our number formats for sharded weights; note the processes."""
        super().create_accelerator_and_postprocess()
        named = {"optim": self.args.optim, "optim_args": self.args.optim_args}
        set_sharded_precision(self.accelerator, rounds=rounds_stochastically(named))
        self._facts["processes"] = process_facts(self.args, is_sharded=self.is_fsdp_enabled)

    @staticmethod
    def get_optimizer_cls_and_kwargs(args: Any, model: Any = None) -> tuple[Any, dict[str, Any]]:
        """Return class and arguments of the optimizer, as transformers asks for them."""
        return optimizer_of(args, model)

    def _attach_engine(self, tokens: TokenTable) -> None:
        """Put the engine into the model's forward, and note for run.json what it chose."""
        if self.args.compile_layers:
            compile_layers(self.model)
        self._engine = attach(
            self.model, layout=self.args.layout, chunk_size=self.args.logits_chunk_size
        )
        self._costs = tokens.counts.shared
        shards = self.args.world_size if self.is_fsdp_enabled else 1
        self._tokens_per_row, reason = row_size(self.model, self.args, shards=shards)
        self._facts["engine"] = {
            **asdict(self._engine.choice),
            "compiled_layers": self.args.compile_layers,
            "tokens_per_row": self._tokens_per_row,
            "tokens_per_row_reason": reason,
            "packing": packing_summary(tokens.counts, self.args.per_device_train_batch_size),
        }

    def _resumption(self, asked: str | bool | None) -> Resumption:
        """Return what the run goes on from; it has the rows that it had, on any free memory."""
        found = super()._resumption(asked)
        is_free = self.args.tokens_per_row is None and "tokens_per_row" not in self._changed
        if found.checkpoint and is_free:
            before = by_first(self._folder.read).get("engine", {}).get("tokens_per_row")
            if before and before != self._tokens_per_row:
                self._tokens_per_row = before
                self._facts["engine"] |= {
                    "tokens_per_row": before,
                    "tokens_per_row_reason": "as before the run was resumed",
                }
        return found

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
            return own_reference(policy, device, precision)
        rows = embedding_rows(policy.model)
        return given_reference(
            ref_model, tokenizer, precision=precision, policy_rows=rows, trust=trust
        )


def _evaluation_sets(scored: Mapping[str, ScoredTable]) -> Any:
    """Return the evaluation data as transformers takes it: one set, or several by name."""
    if "" in scored:
        return scored[""].for_training()
    return {name: table.for_training() for name, table in scored.items()} or None
