"""The row budget of a run: the user's, else what the device's memory allows."""

from typing import Any, NamedTuple

import torch

from tgdpo_core.engine.row_budget import budget_within, optimizer_bytes, row_memory
from tgdpo_core.training.config import TGDPOConfig
from tgdpo_core.training.durability.agreement import gathered

_ON_A_CPU = 1024
_ELSEWHERE = 8192
_GIB = 2**30


class RowSize(NamedTuple):
    """Most tokens of a row, and why that many."""

    tokens: int
    reason: str


def row_size(model: Any, args: TGDPOConfig, *, shards: int = 1) -> RowSize:
    """Return the row budget; all processes get the same, and every one must call this.

    Args:
        model: the policy, whole, on its device.
        args: settings of the run.
        shards: processes that will share weights, gradients and optimizer.
    """
    if args.tokens_per_row:
        return RowSize(args.tokens_per_row, "set by engine.tokens_per_row")
    kind = args.device.type
    if kind == "cpu":
        return RowSize(_ON_A_CPU, "short rows suit the caches of a CPU")
    if kind != "cuda":
        return RowSize(_ELSEWHERE, f"the memory of {kind} is not looked at")
    mine = size_within(model, args, free=free_memory(args.device), shards=shards)
    sizes = [RowSize(*each) for each in gathered(tuple(mine))]
    return min(sizes, key=lambda size: size.tokens)


def size_within(model: Any, args: TGDPOConfig, *, free: int, shards: int = 1) -> RowSize:
    """Return the row budget for a device with ``free`` bytes beside the model's weights."""
    weight = next(p.element_size() for p in model.parameters() if p.is_floating_point())
    product = 2 if args.bf16 or args.fp16 else weight
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = str(getattr(args.optim, "value", args.optim))
    kept = sum(
        p.numel() * (p.element_size() + optimizer_bytes(optimizer, p.element_size()))
        for p in trained
    )
    whole = sum(p.numel() * p.element_size() for p in model.parameters())
    # Autocast keeps copies of all weights in half precision until the forward pass ends.
    copies = sum(p.numel() for p in model.parameters()) * product if product < weight else 0
    left = free + whole - (whole + kept) / shards - copies
    memory = row_memory(
        model.config.get_text_config(),
        weight_bytes=weight,
        product_bytes=product,
        checkpointing=bool(args.gradient_checkpointing),
    )
    tokens = budget_within(left, memory)
    return RowSize(
        tokens,
        f"{free / _GIB:.1f} GiB free, {max(left, 0) / _GIB:.1f} GiB when gradients, optimizer and "
        f"copies for autocast are there; a row takes {memory.fixed / _GIB:.1f} GiB and "
        f"{memory.per_token / 2**20:.2f} MiB a token, by estimate",
    )


def free_memory(device: torch.device) -> int:
    """Return the bytes of a GPU that tensors can still take, those of torch's cache included."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
