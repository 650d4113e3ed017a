"""The training loop: an optimizer step is the rows of its pairs, one forward and backward each."""

import contextlib
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch

from tgdpo_core.engine.losses import sft_loss
from tgdpo_core.engine.policy import TokenLogps
from tgdpo_core.engine.tensors import pinned
from tgdpo_core.errors import UsageError
from tgdpo_core.scoring.guard import has_time_limit
from tgdpo_core.scoring.metric_sums import means
from tgdpo_core.training.batches import PairBatch, StepRows, make_rows
from tgdpo_core.training.callbacks import StepClock
from tgdpo_core.training.limits import (
    out_of_memory,
    peak_memory_mib,
)
from tgdpo_core.training.metrics import MetricBuffer, pair_metrics
from tgdpo_core.training.rank_rows import EpochPlace, in_step, weightless
from tgdpo_core.training.rank_shares import EvenShares
from tgdpo_core.training.recorded_run import RecordedRun
from tgdpo_core.training.row_loss import RowLoss
from tgdpo_core.training.step_reader import StepReader


class PairLoop(RecordedRun):
    """What a step, an evaluation and a log row are, for scored pairs.

    A subclass sets the attributes.

    Attributes:
        _engine: puts pairs into rows.
        _loss: what is minimised.
        _tokens_per_row: their budget.
        _place: which pairs of the last batch of an epoch count.
        _costs: [P] tokens of each pair, to deal them to processes by.
        _buffers: metrics since the last log row, and of the running evaluation.
        _clock: seconds of training.
        _reader: reads the pairs of a step, one step ahead.
        _error_aucs: how well rewards mark known errors; logged with every row.
    """

    loss_is_scaled_for_ga = True  # training_step divides by the pairs of the optimizer step

    _engine: TokenLogps
    _loss: RowLoss
    _tokens_per_row: int
    _place: EpochPlace
    _costs: Any
    _buffers: dict[str, MetricBuffer]
    _clock: StepClock
    _reader: StepReader[StepRows]
    _error_aucs: dict[str, float]

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
        self._reader.wait()  # evaluation calls plugins, too
        metrics: dict[str, float] = super().evaluate(named, ignore_keys, metric_key_prefix)
        return metrics

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: a preference-trained model predicts no labels."""
        raise UsageError("There is nothing to predict: see evaluate(), and tgdpo evaluate.")

    def get_train_dataloader(self) -> Any:
        """Return transformers' loader; of several processes, each gets an even share of a step."""
        loader: Any = super().get_train_dataloader()
        # Where memory did not do for a batch, auto_find_batch_size begins again with smaller ones.
        self._place = replace(self._place, batch_size=self._train_batch_size)
        if self.args.world_size > 1:
            dealt = loader.batch_sampler.batch_sampler
            dealt.sampler = EvenShares(
                dealt.sampler,
                self._costs,
                batch_size=self._train_batch_size,
                world_size=self.args.world_size,
                accumulation=self.args.gradient_accumulation_steps,
            )
        return loader

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> Any:
        """Return the rows of an optimizer step, and the number of its pairs over all processes.

        The pairs of all micro-batches are packed together, so that accumulation costs nothing; the
        rows go to the last micro-batch, where gradients are synchronised, and the others are empty.
        """
        self._place.begin(epoch_iterator, self._first_batch())
        step = self._reader.take(epoch_iterator, num_batches)
        if not step.num_batches:
            return [], None
        if self._may_read_ahead():
            most = min(self.args.gradient_accumulation_steps, self._place.batches_left)
            self._reader.begin(epoch_iterator, most)
        rows = self._in_step(step.rows)
        count = torch.full((), step.num_pairs, device=device)
        empty: list[dict[str, list[PairBatch]]] = [{"rows": []}] * (step.num_batches - 1)
        total = self.accelerator.gather(count).sum() if self.args.world_size > 1 else count
        return [*empty, {"rows": rows}], total

    def _in_step(self, rows: list[PairBatch]) -> list[PairBatch]:
        """Return as many rows as the other processes have: sharded models meet in every forward."""
        if not self.is_fsdp_enabled:
            return rows
        number = torch.tensor([len(rows)], device=self.args.device)
        return in_step(rows, int(self.accelerator.gather(number).max()))

    def _may_read_ahead(self) -> bool:
        """Return whether the next step can be read while this one is computed.

        Not where this one calls plugins, and not where they have a time limit, which can end them
        in the main thread only.
        """
        is_last = self.state.global_step + 1 >= self.state.max_steps
        goes_on = self._place.batches_left > 0 and not is_last
        return goes_on and self._online is None and not has_time_limit()

    def _read_step(self, epoch_iterator: Iterator[Any], num_batches: int) -> StepRows:
        """Return the rows of the next step, made on the CPU; runs in another thread, too."""
        batches = list(itertools.islice(epoch_iterator, num_batches))
        if not batches:
            return StepRows([], 0, 0)
        pairs = self._place.counted(batches)
        # Where all pairs of this process only fill the batch, one still keeps it in step.
        rows, _ = make_rows(pairs or batches[0]["pairs"][:1], self._engine, self._tokens_per_row)
        if not pairs:
            rows = [weightless(row) for row in rows]
        if self.args.dataloader_pin_memory and self.args.device.type == "cuda":
            with torch.cuda.device(self.args.device):
                rows = [pinned(row) for row in rows]
        return StepRows(rows, len(pairs), len(batches))

    def _train_durably(self, *arguments: Any) -> Any:
        """Train; what was read ahead of a step that never came is forgotten."""
        try:
            return super()._train_durably(*arguments)
        finally:
            self._reader.drop()

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
                self._pictures.add(batch.pairs, metrics)
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
        policy_logps, values = self._loss.policy(model, batch)
        if self._online:
            of_policy = {"policy_logps": policy_logps, **values}
            batch = batch.scored_online(self._online, of_policy, in_training=model.training)
        loss, of_plugin = self._loss(batch, policy_logps, values)
        losses = loss.losses
        if self.args.sft_weight:
            sft = sft_loss(policy_logps, row.pair_ids, row.is_chosen, num_pairs=row.num_pairs)
            losses = losses + self.args.sft_weight * sft
        self._numbers.add(batch, policy_logps, losses, self._loss.numbers(loss, of_plugin, values))
        metrics = pair_metrics(batch, policy_logps.detach(), loss, losses, beta=self.args.beta)
        return losses.sum(), torch.cat([metrics, of_plugin], 1)

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
            found = [(row.counts, self._row_loss(model, row)) for row in self._in_step(rows)]
        parts = [part for counts, part in found if counts]
        self._require_finite_evaluation()
        metrics = torch.cat([metrics for _, metrics in parts])
        # Back in the order of the data, and gathered at once: only here is it known which rows at
        # the end of the last batch are repeats.
        places = torch.tensor(order).argsort().to(metrics.device, non_blocking=True)
        metrics = metrics[places]
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
            logs = {**logs, **since.metrics, **self._error_aucs, **self._plugin_metrics()}
            if seconds := self._clock.pop_seconds():
                logs["tokens_per_second"] = since.num_tokens / seconds
                logs["pairs_per_second"] = since.num_pairs / seconds
            logs["peak_memory_mib"] = peak_memory_mib(self.args.device)
        super().log(logs, start_time)

    def _plugin_metrics(self) -> dict[str, float]:
        """Return the means of what dynamic sources have logged since the last row."""
        from accelerate.utils import gather_object

        if not self._online:
            return {}
        totals = [self._online.pop_metrics()]
        return means(gather_object(totals) if self.args.world_size > 1 else totals)

    def _gather_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the metric rows of all processes, which may have different numbers of them."""
        rows = rows.to(self.args.device)
        padded = self.accelerator.pad_across_processes(rows, dim=0, pad_index=torch.nan)
        joined: torch.Tensor = self.accelerator.gather(padded)
        return joined[~joined[:, 0].isnan()]

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 6 x parameters x tokens, the usual estimate of forward and backward."""
        num_tokens = sum(batch.row.num_tokens for batch in inputs["rows"])
        return 6 * self._num_parameters * num_tokens

    @cached_property
    def _num_parameters(self) -> int:
        return int(self.model.num_parameters())
