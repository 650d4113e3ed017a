"""Log-probabilities of target tokens from hidden states, without a [N, V] tensor.

The head (``hidden @ weight.T``, scale, bias, soft-cap) is applied to a chunk of tokens at a time
and again in the backward pass, so that memory is ``chunk_size * V`` whatever N is.
"""

from dataclasses import dataclass
from typing import Any

import torch

_CHUNK_BYTES = 64 * 2**20  # logits of one chunk in float32: fits caches and any GPU


@dataclass(frozen=True)
class _Head:
    """What turns a hidden state into logits, beside the weight."""

    softcap: float | None
    scale: float
    chunk_size: int


def token_logps(  # noqa: PLR0913 - the public contract
    hidden: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    logit_softcap: float | None = None,
    logit_scale: float = 1.0,
    chunk_size: int | None = None,
) -> torch.Tensor:
    """Return ``log softmax(logits)[targets]`` of each token.

        z = logit_scale * (hidden @ weight.T + bias);  z <- c * tanh(z / c) with soft-cap c
        logps[n] = z[n, targets[n]] - logsumexp(z[n])

    Differentiable in ``hidden``, ``weight`` and ``bias``, for any upstream gradient. Logits are
    taken in the dtype of ``hidden`` and turned to float32 before soft-cap and log-sum-exp.

    Args:
        hidden: [N, D], the hidden states that predict the targets.
        weight: [V, D], same dtype.
        targets: [N] int64, each in [0, V).
        bias: [V] or None.
        logit_softcap: Gemma's ``final_logit_softcapping``.
        logit_scale: Cohere's ``logit_scale``, Granite's ``1 / logits_scaling``.
        chunk_size: tokens whose logits exist at once; None chooses about 64 MiB of them.

    Returns:
        [N] float32 (float64 for float64 input).

    Raises:
        ValueError: shapes that do not fit, or a chunk size below 1.
    """
    _check_shapes(hidden, weight, targets, chunk_size)
    chunk = chunk_size or max(1, _CHUNK_BYTES // (4 * weight.shape[0]))
    head = _Head(logit_softcap, logit_scale, chunk)
    hidden, weight, bias = _autocast_inputs(hidden, weight, bias)
    # Forward and backward must use the same dtype; autocast would act on the forward alone.
    with torch.autocast(hidden.device.type, enabled=False):
        result: torch.Tensor = _TokenLogps.apply(hidden, weight, bias, targets, head)
    return result


def _autocast_inputs(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return the inputs in the autocast dtype where autocast is on, as a linear layer would."""
    if not torch.is_autocast_enabled(hidden.device.type):
        return hidden, weight, bias
    dtype = torch.get_autocast_dtype(hidden.device.type)
    return hidden.to(dtype), weight.to(dtype), bias.to(dtype) if bias is not None else None


def _check_shapes(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, chunk_size: int | None
) -> None:
    fits = hidden.dim() == 2 and weight.dim() == 2 and hidden.shape[1] == weight.shape[1]
    if not fits or targets.shape != hidden.shape[:1]:
        raise ValueError(
            "token_logps needs hidden [N, D], weight [V, D] and targets [N]; got "
            f"{list(hidden.shape)}, {list(weight.shape)} and {list(targets.shape)}."
        )
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1 or None, got {chunk_size}.")


def _logits(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, head: _Head
) -> torch.Tensor:
    """Return [n, V] logits in float32 (float64 for float64)."""
    z = hidden @ weight.t() if bias is None else torch.addmm(bias, hidden, weight.t())
    if z.dtype != torch.float64:
        z = z.float()
    if head.scale != 1.0:
        z = z * head.scale
    if head.softcap:
        z = head.softcap * torch.tanh(z / head.softcap)
    return z


class _TokenLogps(torch.autograd.Function):
    """Chunked forward that keeps only the log-sum-exp; the backward computes each chunk again."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        head: _Head,
    ) -> torch.Tensor:
        dtype = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        logps = torch.empty(hidden.shape[0], dtype=dtype, device=hidden.device)
        lse = torch.empty_like(logps)
        for part in _chunks(hidden.shape[0], head.chunk_size):
            z = _logits(hidden[part], weight, bias, head)
            lse[part] = torch.logsumexp(z, dim=-1)
            logps[part] = z.gather(1, targets[part, None]).squeeze(1) - lse[part]
        ctx.save_for_backward(hidden, weight, bias, targets, lse)
        ctx.head = head
        return logps

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        hidden, weight, bias, targets, lse = ctx.saved_tensors
        (grad,) = grads
        head: _Head = ctx.head
        wants_hidden, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        # Sums over many chunks are kept in float32: bfloat16 would lose the small ones.
        grad_weight = torch.zeros_like(weight, dtype=lse.dtype) if wants_weight else None
        grad_bias = torch.zeros_like(bias, dtype=lse.dtype) if wants_bias else None
        for part in _chunks(hidden.shape[0], head.chunk_size):
            z = _logits(hidden[part], weight, bias, head)
            dz = _logit_gradient(z, targets[part], lse[part], grad[part].to(lse.dtype), head)
            dz_low = dz.to(hidden.dtype)
            if grad_hidden is not None:
                torch.mm(dz_low, weight, out=grad_hidden[part])
            if grad_weight is not None:
                _add_product(grad_weight, dz_low.t(), hidden[part])
            if grad_bias is not None:
                grad_bias += dz.sum(0)
        return grad_hidden, _cast(grad_weight, weight), _cast(grad_bias, bias), None, None


def _logit_gradient(
    z: torch.Tensor, targets: torch.Tensor, lse: torch.Tensor, grad: torch.Tensor, head: _Head
) -> torch.Tensor:
    """Return d loss / d (raw logits) [n, V], given d loss / d logps = ``grad`` [n]."""
    slope = 1 - (z / head.softcap) ** 2 if head.softcap else None
    z = z.sub_(lse[:, None]).exp_().mul_(-grad[:, None])
    z.scatter_add_(1, targets[:, None], grad[:, None])
    if slope is not None:
        z = z.mul_(slope)
    return z.mul_(head.scale) if head.scale != 1.0 else z


def _add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """Add ``left @ right`` to a float32 total, multiplying in the low dtype where there is one."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total.add_(left @ right)


def _chunks(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _cast(grad: torch.Tensor | None, like: torch.Tensor | None) -> torch.Tensor | None:
    return grad.to(like.dtype) if grad is not None and like is not None else grad
