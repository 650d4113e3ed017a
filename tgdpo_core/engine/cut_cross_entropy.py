"""The package Cut Cross-Entropy as a head: logits are made and used inside one kernel, on a GPU.

Only in its exact form. Its gradient filter leaves out entries that are small for a mean loss; our
upstream gradients have both signs and no common size. Its sums are asked for in float32.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch

_NEEDED = {"bias", "softcap", "reduction", "filter_eps", "accum_e_fp32", "accum_c_fp32"}


def obstacle(device: torch.device, dtype: torch.dtype, scale: float) -> str | None:
    """Return why the package is not used, or None if it can be."""
    if device.type != "cuda":
        return f"cut-cross-entropy is for CUDA, not {device.type}"
    if dtype not in (torch.float16, torch.bfloat16):
        return f"cut-cross-entropy is for half precision, not {dtype}"
    if scale != 1.0:
        return "cut-cross-entropy has no scale of logits"
    try:
        function = _function()
    # A package for another torch or Triton may fail in its own way while it is imported.
    except Exception as error:  # noqa: BLE001
        return f"cut-cross-entropy cannot be imported ({type(error).__name__}: {error})"
    missing = _NEEDED - inspect.signature(function).parameters.keys()
    if missing:
        return f"this version of cut-cross-entropy has no {', '.join(sorted(missing))}"
    return None


def logps(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    bias: torch.Tensor | None,
    softcap: float | None,
    scale: float,
) -> torch.Tensor:
    """Return [N] float32 log-probs, see ``token_logps``.

    Raises:
        ValueError: a scale of the logits, which the package does not have.
    """
    if scale != 1.0:
        raise ValueError("cut-cross-entropy has no scale of logits; use the kernel 'tiles'.")
    losses: torch.Tensor = _function()(
        hidden,
        weight.to(hidden.dtype),
        targets,
        bias=None if bias is None else bias.to(hidden.dtype),
        softcap=softcap,
        reduction="none",
        filter_eps=None,
        accum_e_fp32=True,
        accum_c_fp32=True,
    )
    return -losses.float()


def _function() -> Callable[..., Any]:
    from cut_cross_entropy import linear_cross_entropy

    function: Callable[..., Any] = linear_cross_entropy
    return function
