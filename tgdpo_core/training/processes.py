"""How the processes of a run share the model (data parallelism, FSDP2), and what is refused.

What an accelerate config asks for arrives as environment variables of its launcher.
"""

import os
from typing import TYPE_CHECKING, Any, Literal

from torch import distributed

from tgdpo_core.errors import UsageError
from tgdpo_core.recipe.argument_table import NO_DEEPSPEED

if TYPE_CHECKING:
    from tgdpo_core.training.config import TGDPOConfig

Sharding = Literal["none", "ddp", "fsdp2"]

_OTHERS = {
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM replaces the training loop",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "tensor, context and sequence parallelism would split "
    "responses",
}


def require_supported_launcher() -> None:
    """Refuse what an accelerate config asks for and what would train something else.

    Raises:
        UsageError: DeepSpeed, Megatron-LM, or a parallelism that splits sequences or layers.
    """
    if _is_on("ACCELERATE_USE_DEEPSPEED"):
        raise UsageError(f"DeepSpeed is not supported: {NO_DEEPSPEED}.")
    for variable, reason in _OTHERS.items():
        if _is_on(variable):
            raise UsageError(
                f"The accelerate config turns on what is not supported: {reason}. Use one of "
                "`tgdpo recipes list` (accelerate/ddp, accelerate/fsdp2)."
            )


def require_supported(args: "TGDPOConfig") -> None:
    """Refuse settings that do not go with those of the launcher.

    Raises:
        UsageError: FSDP1, or a mixed precision that the settings lack.
    """
    if _asks_for_fsdp(args) and _fsdp_version(args) != 2:
        raise UsageError(
            "FSDP version 1 is not supported: set fsdp_version: 2 in the accelerate config "
            "(tgdpo recipes copy accelerate/fsdp2 FILE), or training.fsdp_config.version=2."
        )
    wanted = "fp16" if args.fp16 else "bf16" if args.bf16 else "no"
    if args.mixed_precision != wanted:
        raise UsageError(
            f"The launcher's mixed_precision is {args.mixed_precision}, the settings say "
            f"{wanted}: set training.{args.mixed_precision}=true, or mixed_precision: 'no' in the "
            "accelerate config."
        )


def process_facts(args: "TGDPOConfig", *, is_sharded: bool) -> dict[str, Any]:
    """Return what run.json says about the processes of a run.

    Args:
        args: the settings.
        is_sharded: whether FSDP2 holds the model.

    Raises:
        UsageError: accelerate replaced FSDP by plain data parallelism, as it does on a CPU.
    """
    if _asks_for_fsdp(args) and not is_sharded:
        raise UsageError(
            f"FSDP was asked for, but accelerate shards nothing here (device {args.device.type}, "
            f"{args.world_size} processes): every process would hold the whole model. Start on "
            "GPUs, or leave FSDP out (accelerate/ddp, or tgdpo train --num-processes N)."
        )
    sharding: Sharding = "fsdp2" if is_sharded else "ddp" if args.world_size > 1 else "none"
    per_node = int(os.environ.get("LOCAL_WORLD_SIZE") or args.world_size)
    is_connected = distributed.is_available() and distributed.is_initialized()
    return {
        "world_size": args.world_size,
        "per_node": per_node,
        "nodes": -(-args.world_size // per_node),
        "sharding": sharding,
        "backend": distributed.get_backend() if is_connected else None,
        "device": args.device.type,
    }


def _asks_for_fsdp(args: "TGDPOConfig") -> bool:
    return bool(args.fsdp) or _is_on("ACCELERATE_USE_FSDP")


def _fsdp_version(args: "TGDPOConfig") -> int:
    if args.fsdp:
        config: Any = args.fsdp_config or {}
        return int(config.get("version", 2))
    return int(os.environ.get("FSDP_VERSION") or 1)


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true", "yes", "on")
