"""The longest row, run once: whether it fits, how long a step takes, what memory a run needs."""

import time
from dataclasses import replace
from typing import Any

import torch

from tgdpo_core.data.pairs import TokenizedPair
from tgdpo_core.data.token_table import TokenCounts, TokenTable
from tgdpo_core.engine.compiled_layers import compile_layers
from tgdpo_core.engine.head import reference_head
from tgdpo_core.engine.policy import attach
from tgdpo_core.engine.rows import PairIds
from tgdpo_core.plugin_api.losses import Loss
from tgdpo_core.progress import stage
from tgdpo_core.scoring.distribution import HIDDEN, distribution_of
from tgdpo_core.scoring.pairs import ScoredPair
from tgdpo_core.training.batches import batch_of
from tgdpo_core.training.config import TGDPOConfig
from tgdpo_core.training.limits import peak_memory_mib
from tgdpo_core.training.row_loss import RowLoss
from tgdpo_core.training.row_size import row_size

_MIB = 2**20
_MOST_PLANNED = 50_000  # pairs
_ADAM_STATES = 2  # first and second moment, in the dtype of the weights


def rehearse(
    model: Any,
    table: TokenTable,
    args: TGDPOConfig,
    *,
    loss: tuple[str, Loss],
    steps: int,
    pairs_per_step: int,
) -> dict[str, Any]:
    """Return what one forward and backward over the longest row cost, and what follows for a run.

    It runs with the mixed precision and the gradient checkpointing of training. Seconds are of the
    row's second pass (the first one warms up) and of this machine as it is now.
    The peak holds weights and gradients; the optimizer's states come on top.

    Args:
        model: the policy, on its device; its gradients are cleared again.
        table: the training pairs; of many, rows of a sample are planned.
        args: settings of the run.
        loss: of the run, with its name.
        steps: optimizer steps of the run.
        pairs_per_step: pairs of one of them, over all processes.
    """
    if args.compile_layers:
        compile_layers(model)
    engine = attach(model, layout=args.layout, chunk_size=args.logits_chunk_size)
    budget, budget_reason = row_size(model, args)
    counts = table.counts
    rows = engine.plan(_sizes(counts), budget)
    longest = max(rows, key=lambda row: int(counts.shared[list(row)].sum()))
    distribution = distribution_of((), loss, lambda: reference_head(model))
    row_loss = RowLoss(loss, args.beta, distribution)
    width = distribution.width(HIDDEN) if distribution.compares else 0
    batch = batch_of([_stand_in(table[i], width) for i in longest], engine).to(args.device)
    row = batch.row
    model.train()
    if args.gradient_checkpointing:
        enable = getattr(model, "activation_checkpointing_enable", None)
        (enable or model.gradient_checkpointing_enable)(args.gradient_checkpointing_kwargs)
    seconds = 0.0
    with stage("longest row", 2, "pass") as bar:
        for _ in range(2):
            began = time.perf_counter()
            with _autocast(args):
                logps, values = row_loss.policy(model, batch)
            found, _ = row_loss(replace(batch, reference_logps=logps.detach()), logps, values)
            found.losses.sum().backward()
            if args.device.type == "cuda":
                torch.cuda.synchronize()
            seconds = time.perf_counter() - began
            bar.update()
    tokens_per_second = row.num_tokens / seconds
    mean_tokens = float(counts.shared.mean())
    seconds_per_step = pairs_per_step / args.world_size * mean_tokens / tokens_per_second
    model.zero_grad(set_to_none=True)
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    return {
        "layout": engine.choice.layout,
        "layout_reason": engine.choice.layout_reason,
        "longest_row": {"pairs": row.num_pairs, "tokens": row.num_tokens, "seconds": seconds},
        "tokens_per_row": budget,
        "tokens_per_row_reason": budget_reason,
        "tokens_per_second": tokens_per_second,
        "estimated_seconds_per_step": seconds_per_step,
        "estimated_hours": seconds_per_step * steps / 3600,
        "peak_memory_mib": peak_memory_mib(args.device),
        "optimizer_memory_mib": _ADAM_STATES * trained / _MIB,
    }


def _stand_in(pair: TokenizedPair, width: int) -> ScoredPair:
    """Return a pair with weights 1; hidden states of the reference are 0."""
    zero, one = torch.zeros(pair.num_response_tokens), torch.ones(pair.num_response_tokens)
    hidden = {HIDDEN: torch.zeros(pair.num_response_tokens, width)} if width else {}
    return ScoredPair(pair, zero, zero, one, one, hidden)


def _sizes(counts: TokenCounts) -> list[PairIds]:
    """Return pairs of the right lengths, for planning: up to ``_MOST_PLANNED`` of the first."""
    lengths = (counts.prompt, counts.chosen, counts.rejected)
    parts = (each[:_MOST_PLANNED].tolist() for each in lengths)
    return [PairIds(range(p), range(c), range(r)) for p, c, r in zip(*parts, strict=True)]


def _autocast(args: TGDPOConfig) -> torch.autocast:
    """Return the mixed precision of the run."""
    dtype = torch.float16 if args.fp16 else torch.bfloat16
    return torch.autocast(args.device.type, dtype=dtype, enabled=bool(args.fp16 or args.bf16))
