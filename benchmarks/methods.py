"""The methods that are compared: each takes the same pairs and does the same optimizer steps."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from benchmarks.measure import Meter, Result
from benchmarks.official import collate, official_loss
from benchmarks.workload import make_model
from tgdpo_core.engine.compiled_layers import compile_layers
from tgdpo_core.engine.losses import preference_loss
from tgdpo_core.engine.policy import TokenLogps
from tgdpo_core.engine.rows import PackedRow, PairIds, share_pairs

_LEARNING_RATE = 1e-6


@dataclass(frozen=True)
class Task:
    """What every method does.

    Attributes:
        pairs: warm-up pairs first.
        step: pairs of an optimizer step; the first step is warm-up.
        shape: of the model.
        vocab_size: of the model.
        device: ``cpu`` or ``cuda``.
        dtype: of the weights.
        tokens_per_row: budget of our rows.
    """

    pairs: Sequence[PairIds]
    step: int
    shape: str
    vocab_size: int
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    tokens_per_row: int = 4096

    def model(self) -> Any:
        """Return the model, the same on every call."""
        return make_model(self.shape, self.vocab_size, device=self.device, dtype=self.dtype)

    @property
    def measured(self) -> int:
        """Pairs that are measured."""
        return len(self.pairs) - self.step


def run_official(method: str, task: Task, *, micro_batch: int) -> Result:
    """Three padded forwards a step, nothing cached."""
    policy, reference, reward = task.model().train(), task.model().eval(), task.model().eval()
    meter = Meter(task.device)

    def step(pairs: Sequence[PairIds]) -> None:
        for start in range(0, len(pairs), micro_batch):
            part = pairs[start : start + micro_batch]
            batch = collate(part, task.device)
            meter.tokens += batch["input_ids"].numel()
            loss = official_loss(policy, reference, reward, batch)
            (loss * len(part) / len(pairs)).backward()

    return _measured(method, task, meter, policy, step)


def run_ours(
    method: str,
    task: Task,
    *,
    layout: str,
    micro_batch: int | None = None,
    compiled: bool = False,
) -> Result:
    """One forward over a row: ``pad`` (as TRL does), ``pack`` (no padding) or ``share``.

    Reference log-probs and rewards come from the store in the product; here, from memory.
    """
    policy = task.model().train()
    if compiled:
        compile_layers(policy)
    engine = TokenLogps(policy, layout="pad" if layout == "pad" else "auto")
    meter = Meter(task.device)

    def rows(pairs: Sequence[PairIds]) -> list[PackedRow]:
        if micro_batch:
            starts = range(0, len(pairs), micro_batch)
            return [engine.row(pairs[start : start + micro_batch]) for start in starts]
        make = _packed_row if layout == "pack" else engine.row
        return [make([pairs[i] for i in row]) for row in engine.plan(pairs, task.tokens_per_row)]

    def step(pairs: Sequence[PairIds]) -> None:
        for row in rows(pairs):
            row = row.to(task.device)
            meter.tokens += row.input_ids.numel()
            (row_loss(engine, row) / len(pairs)).backward()

    if compiled:  # for all lengths, before the clock starts
        for start in range(0, len(task.pairs), task.step):
            step(task.pairs[start : start + task.step])
        policy.zero_grad(set_to_none=True)
    return _measured(method, task, meter, policy, step)


def row_loss(engine: TokenLogps, row: PackedRow) -> torch.Tensor:
    """Return the summed loss of a row's pairs, reference and rewards made up."""
    logps = engine(row)
    sign = row.is_chosen.float() * 2 - 1
    loss = preference_loss(
        logps,
        torch.full_like(logps, -3.0),
        1 + sign * 0.05,
        row.pair_ids,
        row.is_chosen,
        num_pairs=row.num_pairs,
        beta=0.1,
    )
    return loss.losses.sum()


def run_trl(method: str, task: Task, *, micro_batch: int, settings: dict[str, Any]) -> Result:
    """TRL's DPOTrainer on the same ids; it does DPO, which is less work than TGDPO needs."""
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from transformers import PreTrainedTokenizerFast, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    settings = dict(settings)
    if settings.pop("gpu_head", False):
        # On a GPU TRL projects response positions only; on a CPU all of them, unless asked so.
        import trl.trainer.utils

        trl.trainer.utils._use_triton = lambda device: True
    meter = Meter(task.device)

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 1:
                meter.start()

    class Peer(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset  # tokenized already: the same ids for every method

        def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
            return SequentialSampler(self.train_dataset)

        def _compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            meter.tokens += inputs["input_ids"].numel()
            return super()._compute_loss(model, inputs, *args, **kwargs)

    rows = [
        {
            "prompt_ids": list(p.prompt),
            "chosen_ids": list(p.chosen),
            "rejected_ids": list(p.rejected),
        }
        for p in task.pairs
    ]
    precomputed = settings.get("precompute_ref_log_probs", False)
    config = DPOConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=task.step // micro_batch,
        num_train_epochs=1,
        learning_rate=_LEARNING_RATE,
        lr_scheduler_type="constant",
        optim="adamw_torch_fused",
        bf16=task.dtype == torch.bfloat16,
        use_cpu=task.device == "cpu",
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        logging_steps=1,
        max_length=4096,
        dataloader_pin_memory=False,
        **settings,
    )
    trainer = Peer(
        model=task.model(),
        ref_model=None if precomputed else task.model(),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=_tokenizer(PreTrainedTokenizerFast),
        callbacks=[Watch()],
    )
    trainer.train()
    return meter.stop(method, task.measured)


def run_trl_best(method: str, task: Task, *, micro_batch: int) -> Result:
    """TRL at its best: reference precomputed, nothing computed twice, no logits of prompts."""
    settings = {
        "precompute_ref_log_probs": True,
        "gradient_checkpointing": False,
        "gpu_head": True,
    }
    return run_trl(method, task, micro_batch=micro_batch, settings=settings)


def _tokenizer(cls: Any) -> Any:
    """Return a tokenizer with the special tokens that TRL asks for; it encodes nothing here."""
    from tokenizers import Tokenizer, models

    vocabulary = {"<pad>": 0, "<bos>": 1, "<eos>": 2, "<unk>": 3}
    return cls(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>")),
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
    )


def _packed_row(pairs: Sequence[PairIds]) -> PackedRow:
    """Return a row without padding that repeats the prompt for each response."""
    alone = [PairIds(p.prompt, response, ()) for p in pairs for response in (p.chosen, p.rejected)]
    row = share_pairs(alone)
    return replace(
        row,
        pair_ids=row.pair_ids // 2,
        is_chosen=row.pair_ids % 2 == 0,
        num_pairs=len(pairs),
    )


def _measured(
    method: str,
    task: Task,
    meter: Meter,
    policy: Any,
    step: Callable[[Sequence[PairIds]], None],
) -> Result:
    """Do all optimizer steps; the first one warms up."""
    optimizer = torch.optim.AdamW(policy.parameters(), lr=_LEARNING_RATE, fused=True)
    for start in range(0, len(task.pairs), task.step):
        step(task.pairs[start : start + task.step])
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)  # as every trainer does
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if start == 0:
            meter.start()
    return meter.stop(method, task.measured)


METHODS: dict[str, Callable[[str, Task], Result]] = {
    "official mb4": lambda m, t: run_official(m, t, micro_batch=4),
    "official mb1": lambda m, t: run_official(m, t, micro_batch=1),
    "TRL default mb4": lambda m, t: run_trl(m, t, micro_batch=4, settings={}),
    "TRL precomputed mb4": lambda m, t: run_trl(
        m,
        t,
        micro_batch=4,
        settings={"precompute_ref_log_probs": True, "gradient_checkpointing": False},
    ),
    "TRL best (precomputed, GPU head, mb1)": lambda m, t: run_trl_best(m, t, micro_batch=1),
    "TRL precomputed, GPU head, mb4": lambda m, t: run_trl_best(m, t, micro_batch=4),
    "ours padded mb4": lambda m, t: run_ours(m, t, layout="pad", micro_batch=4),
    "ours packed": lambda m, t: run_ours(m, t, layout="pack"),
    "ours shared": lambda m, t: run_ours(m, t, layout="share"),
}
