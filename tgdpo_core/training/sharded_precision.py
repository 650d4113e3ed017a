"""Number formats of sharded training (FSDP2): float32 shards, 16-bit copies while they are used."""

from typing import Any

import torch

from tgdpo_core.errors import UsageError
from tgdpo_core.recipe.rounding import STOCHASTIC

_FORMATS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def set_sharded_precision(accelerator: Any, *, rounds: bool) -> None:
    """Let FSDP2 gather weights in 16 bits, sum gradients in float32 and return float32 log-probs.

    accelerate would also sum gradients in 16 bits and round the log-probs to 16 bits. Autocast
    stays on and has no weights to copy: they come to it in 16 bits. Nothing is changed where
    weights are not sharded by FSDP2.

    Args:
        accelerator: of the trainer, its model not yet prepared.
        rounds: whether the optimizer rounds bfloat16 weights at random.

    Raises:
        UsageError: there would be no bfloat16 weights to round.
    """
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    gathered = _FORMATS.get(str(accelerator.mixed_precision))
    if plugin is None or plugin.fsdp_version != 2 or gathered is None:
        return
    if rounds:
        raise UsageError(
            f"training.optim_args: {STOCHASTIC} has no effect here: FSDP2 under mixed precision "
            "trains float32 shards. Leave it out, or set training.bf16=false to train bfloat16 "
            "shards."
        )
    from torch.distributed.fsdp import MixedPrecisionPolicy

    plugin.mixed_precision_policy = MixedPrecisionPolicy(
        param_dtype=gathered, reduce_dtype=torch.float32
    )
