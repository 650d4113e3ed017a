"""What may stop a step, and what a step costs: positions, memory, packing."""

import resource
from collections.abc import Sequence
from typing import Any

import torch

from tgdpo_core.data.pairs import TokenizedPair
from tgdpo_core.errors import DataError, UsageError
from tgdpo_core.scoring.passes import pair_ids
from tgdpo_core.training.batches import PairBatch

_TOKENS_PER_ROW = {"cpu": 1024, "cuda": 8192}


def default_tokens_per_row(device: torch.device) -> int:
    """Return the row budget of a device: small rows for caches, large ones for a GPU."""
    return _TOKENS_PER_ROW.get(device.type, _TOKENS_PER_ROW["cuda"])


def require_positions(model: Any, pairs: Sequence[TokenizedPair]) -> None:
    """Raise ``DataError`` if a sequence has more tokens than the model has positions."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if not limit:
        return
    for pair in pairs:
        length = pair_ids(pair).longest_sequence
        if length > limit:
            raise DataError(
                f"{pair.pair.where}: prompt and response have {length} tokens, the model has "
                f"{limit} positions. Set data.max_length to {limit} or less."
            )


def out_of_memory(batch: PairBatch, tokens_per_row: int) -> UsageError:
    """Return the error of a row that did not fit into the device's memory."""
    row = batch.row
    return UsageError(
        f"Out of memory on a row of {row.num_pairs} pairs and {row.num_tokens} tokens "
        f"({batch.where[0]} ...). Lower engine.tokens_per_row (now {tokens_per_row}), then "
        "data.max_length, or set training.gradient_checkpointing=true. The last checkpoint is kept."
    )


def peak_memory_mib(device: torch.device) -> float:
    """Return the highest memory so far: of the GPU's tensors, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def packing_summary(pairs: Sequence[TokenizedPair], micro_batch: int) -> dict[str, float]:
    """Return tokens of the data set in three layouts, and what sharing saves.

    Args:
        pairs: in the order of the data set.
        micro_batch: pairs that a padded batch would hold (two sequences each).
    """
    ids = [pair_ids(pair) for pair in pairs]
    batches = [ids[i : i + micro_batch] for i in range(0, len(ids), micro_batch)]
    padded = sum(2 * len(b) * max(pair.longest_sequence for pair in b) for b in batches)
    shared = sum(pair.shared_length for pair in ids)
    prompts = sum(len(pair.prompt) for pair in ids)
    return {
        "tokens_padded": padded,
        "tokens_separate": shared + prompts,
        "tokens_shared": shared,
        "prompt_tokens_shared": prompts,
        "share_of_padded": shared / padded,
    }
