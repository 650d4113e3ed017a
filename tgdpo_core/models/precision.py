"""Number formats: of weights, of mixed precision, and what an update can change in them."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tgdpo_core.errors import UsageError
from tgdpo_core.recipe.rounding import HOW_TO_ROUND, STOCHASTIC

_SAMPLED = 65_536  # weights of a tensor that are looked at
_MOST_STAY = 0.5


@dataclass(frozen=True)
class Precision:
    """The number formats that decide log-probs, beside the weights.

    Attributes:
        dtype: of frozen models' weights.
        autocast: dtype of mixed precision, or None.
        attn_implementation: as asked for; None is the model's default.
        device_map: how frozen models are spread over devices, as accelerate has it; None: each is
            on one. It changes no format and is no part of a key.
    """

    dtype: torch.dtype = torch.float32
    autocast: torch.dtype | None = None
    attn_implementation: str | None = None
    device_map: str | Mapping[str, int | str] | None = None

    def document(self) -> dict[str, str | None]:
        """Return JSON for the store's key and for run.json."""
        return {
            "dtype": str(self.dtype),
            "autocast": str(self.autocast) if self.autocast else None,
            "attention": self.attn_implementation,
        }

    @property
    def computes_in(self) -> torch.dtype:
        """The coarser of both formats, that of the products."""
        return min(self.dtype, self.autocast or self.dtype, key=lambda dtype: dtype.itemsize)

    @contextlib.contextmanager
    def active(self, device: torch.device) -> Iterator[None]:
        """No gradients, and autocast where it is on."""
        with (
            torch.no_grad(),
            torch.autocast(device.type, dtype=self.autocast, enabled=self.autocast is not None),
        ):
            yield


def mixed_precision(*, bf16: bool | None, fp16: bool, device: torch.device) -> torch.dtype | None:
    """Return the dtype of mixed precision, or None: scoring and training have the same.

    Args:
        bf16: as asked for; None is on where a GPU supports it.
        fp16: as asked for.
        device: where models run.

    Raises:
        UsageError: fp16 where transformers would ignore it.
    """
    if fp16 and device.type == "cpu":
        raise UsageError(
            "training.fp16: on a CPU it would have no effect. Leave it out, or set "
            "training.bf16=true."
        )
    if bf16 is None:
        bf16 = not fp16 and device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if bf16 else torch.float16 if fp16 else None


def frozen_dtype(
    policy: torch.dtype,
    *,
    autocast: torch.dtype | None,
    device: torch.device,
    has_reference: bool,
) -> torch.dtype:
    """Return the dtype of frozen models' weights, where none is asked for.

    On a GPU under bfloat16 autocast, whose products round weights all the same, they are bfloat16:
    half the memory, and nothing to convert in every batch. But beside a policy that is its own
    reference they have its format: rewards are differences of the two, whose noise would be that of
    the coarser one.

    Args:
        has_reference: whether the reference is a frozen model, too.
        policy: dtype of the trained weights.
        autocast: dtype of mixed precision, or None.
        device: where models run.
    """
    halved = device.type == "cuda" and autocast is torch.bfloat16 and policy is torch.float32
    halved = halved and has_reference
    return torch.bfloat16 if halved else policy


def require_trainable_formats(model: Any) -> None:
    """Raise ``UsageError`` for float16 weights that are trained.

    Their squared gradients are below what float16 can hold, so Adam divides by zero; and gradients
    cannot be scaled, as mixed precision does. Frozen float16 weights under an adapter are fine.
    """
    if any(p.requires_grad and p.dtype == torch.float16 for p in model.parameters()):
        raise UsageError(
            "float16 weights cannot be trained: squared gradients are too small for the format. "
            "Use model.dtype=float32 (with training.fp16=true on a GPU), model.dtype=bfloat16, or "
            "model.lora on float16 weights."
        )


def require_bfloat16(model: Any) -> None:
    """Raise ``UsageError`` if no trained weight is bfloat16, so that none is rounded."""
    trained = [p for p in model.parameters() if p.requires_grad]
    if not any(p.dtype == torch.bfloat16 for p in trained):
        formats = sorted({str(p.dtype).removeprefix("torch.") for p in trained})
        raise UsageError(
            f"optim_args: {STOCHASTIC} has no effect here: the trained weights are "
            f"{', '.join(formats)}. Load the model in bfloat16 (recipe: model.dtype=bfloat16), or "
            "leave it out."
        )


def stuck_weights(model: Any, learning_rate: float) -> str | None:
    """Return one sentence if an update of the learning rate changes few of the weights, else None.

    A weight w in a format with machine epsilon eps moves only by multiples of its spacing
    eps 2^floor(log2 |w|); what is below half of it is rounded away, unless it is rounded at random.
    Adam's updates are about as large as the learning rate.
    """
    moved = total = 0
    formats = set()
    for parameter in model.parameters():
        if not parameter.requires_grad or parameter.dtype != torch.bfloat16:
            continue
        flat = parameter.detach().flatten()
        flat = flat[:: max(1, flat.numel() // _SAMPLED)].float().abs()
        spacing = torch.finfo(parameter.dtype).eps * torch.exp2(flat.log2().floor())
        moved += int((spacing / 2 < learning_rate).sum()) * parameter.numel() / len(flat)
        total += parameter.numel()
        formats.add(str(parameter.dtype).removeprefix("torch."))
    if not total or moved / total > _MOST_STAY:
        return None
    return (
        f"The weights are {', '.join(formats)}, whose rounding hides small updates: one of the "
        f"size of the learning rate ({learning_rate:.3g}) changes {moved / total:.2%} of the "
        f"trained weights. Use {HOW_TO_ROUND}, model.dtype=float32 (with training.bf16=true), a "
        "larger learning rate, or model.lora."
    )
