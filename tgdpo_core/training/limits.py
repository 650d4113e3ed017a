"""What may stop a step, and what a step costs: positions, memory, packing."""

import resource

import numpy as np
import torch

from tgdpo_core.data.token_table import TokenCounts
from tgdpo_core.errors import MachineError
from tgdpo_core.training.batches import PairBatch


def out_of_memory(batch: PairBatch, tokens_per_row: int) -> MachineError:
    """Return the error of a row that did not fit into the device's memory."""
    row = batch.row
    return MachineError(
        f"Out of memory on a row of {row.num_pairs} pairs and {row.num_tokens} tokens "
        f"({batch.where[0]} ...). Lower engine.tokens_per_row (now {tokens_per_row}), then "
        "data.max_length, or set training.gradient_checkpointing=true. The last checkpoint is kept."
    )


def peak_memory_mib(device: torch.device) -> float:
    """Return the highest memory so far: of the GPU's tensors, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def packing_summary(counts: TokenCounts, micro_batch: int) -> dict[str, float]:
    """Return tokens of the data set in three layouts, and what sharing saves.

    Args:
        counts: of the pairs, in the order of the data set.
        micro_batch: pairs that a padded batch would hold (two sequences each).
    """
    starts = np.arange(0, len(counts.longest), micro_batch)
    sizes = np.diff([*starts, len(counts.longest)])
    padded = int((2 * sizes * np.maximum.reduceat(counts.longest, starts)).sum())
    shared, prompts = int(counts.shared.sum()), int(counts.prompt.sum())
    return {
        "tokens_padded": padded,
        "tokens_separate": shared + prompts,
        "tokens_shared": shared,
        "prompt_tokens_shared": prompts,
        "share_of_padded": shared / padded,
    }
