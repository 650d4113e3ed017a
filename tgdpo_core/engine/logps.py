"""Log-probabilities of target tokens from hidden states, without a [N, V] tensor.

The head (``hidden @ weight.T``, scale, bias, soft-cap) is applied to one tile of the logits at a
time, some tokens by some of the vocabulary, and again in the backward pass. A tile reads its part
of the weight once and writes its part of the weight's gradient once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

# Size of one tile of logits in float32: what a CPU's caches like, and what keeps a GPU busy.
_TILE_BYTES = {"cpu": 16 * 2**20, "cuda": 256 * 2**20}
_SMALLEST_TILE = 1024  # vocabulary entries; below it the products become inefficient


@dataclass(frozen=True)
class _Head:
    """What turns a hidden state into logits, beside the weight, and how large a tile is."""

    softcap: float | None
    scale: float
    tokens: int
    vocabulary: int


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
        chunk_size: tokens whose logits exist at once; None takes as many as leave tiles of a good
            shape (16 MiB of logits on a CPU, 256 MiB on a GPU).

    Returns:
        [N] float32 (float64 for float64 input).

    Raises:
        ValueError: shapes that do not fit, or a chunk size below 1.
    """
    _check_shapes(hidden, weight, targets, chunk_size)
    head = _tiling(hidden, weight.shape[0], chunk_size, logit_softcap, logit_scale)
    hidden, weight, bias = _autocast_inputs(hidden, weight, bias)
    # Forward and backward must use the same dtype; autocast would act on the forward alone.
    with torch.autocast(hidden.device.type, enabled=False):
        result: torch.Tensor = _TokenLogps.apply(hidden, weight, bias, targets, head)
    return result


def _tiling(
    hidden: torch.Tensor,
    vocabulary: int,
    chunk_size: int | None,
    softcap: float | None,
    scale: float,
) -> _Head:
    """Return the tile's shape: all tokens by part of the vocabulary, as far as that stays wide."""
    elements = _TILE_BYTES.get(hidden.device.type, _TILE_BYTES["cpu"]) // 4
    tokens = chunk_size or max(1, min(len(hidden), elements // min(_SMALLEST_TILE, vocabulary)))
    return _Head(softcap, scale, tokens, max(1, min(vocabulary, elements // tokens)))


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


class _TokenLogps(torch.autograd.Function):
    """Tiled forward that keeps only the log-sum-exp; the backward computes each tile again."""

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
        lse = hidden.new_full((len(hidden),), -torch.inf, dtype=dtype)
        found = torch.zeros_like(lse)
        for part in _parts(len(hidden), head.tokens):
            for tile in _parts(len(weight), head.vocabulary):
                z = _logits(hidden[part], weight[tile], _of(bias, tile), head)
                lse[part] = torch.logaddexp(lse[part], torch.logsumexp(z, dim=-1))
                index, inside = _inside(targets[part], tile)
                found[part] += z.gather(1, index[:, None]).squeeze(1) * inside
        ctx.save_for_backward(hidden, weight, bias, targets, lse)
        ctx.head = head
        return found - lse

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        hidden, weight, bias, targets, lse = ctx.saved_tensors
        grad, head = grads[0].to(lse.dtype), ctx.head
        wants_hidden, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        # Sums over tiles are kept in float32: bfloat16 would lose the small ones.
        grad_hidden = torch.zeros_like(hidden, dtype=lse.dtype) if wants_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=lse.dtype) if wants_weight else None
        grad_bias = torch.zeros_like(bias, dtype=lse.dtype) if wants_bias else None
        for part in _parts(len(hidden), head.tokens):
            for tile in _parts(len(weight), head.vocabulary):
                z = _logits(hidden[part], weight[tile], _of(bias, tile), head)
                dz = _logit_gradient(z, _inside(targets[part], tile), lse[part], grad[part], head)
                if grad_bias is not None:
                    grad_bias[tile] += dz.sum(0)
                dz = dz.to(hidden.dtype)
                if grad_hidden is not None:
                    _add_product(grad_hidden[part], dz, weight[tile])
                if grad_weight is not None:
                    _add_product(grad_weight[tile], dz.t(), hidden[part])
        return (
            _cast(grad_hidden, hidden),
            _cast(grad_weight, weight),
            _cast(grad_bias, bias),
            None,
            None,
        )


def _logits(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, head: _Head
) -> torch.Tensor:
    """Return a tile of logits in float32 (float64 for float64)."""
    z = hidden @ weight.t() if bias is None else torch.addmm(bias, hidden, weight.t())
    if z.dtype != torch.float64:
        z = z.float()
    if head.scale != 1.0:
        z = z * head.scale
    if head.softcap:
        z = head.softcap * torch.tanh(z / head.softcap)
    return z


def _logit_gradient(
    z: torch.Tensor,
    target: tuple[torch.Tensor, torch.Tensor],
    lse: torch.Tensor,
    grad: torch.Tensor,
    head: _Head,
) -> torch.Tensor:
    """Return d loss / d (raw logits) of a tile, given d loss / d logps = ``grad``."""
    slope = 1 - (z / head.softcap) ** 2 if head.softcap else None
    dz = z.sub_(lse[:, None]).exp_().mul_(-grad[:, None])
    index, inside = target
    dz.scatter_add_(1, index[:, None], (grad * inside)[:, None])
    if slope is not None:
        dz = dz.mul_(slope)
    return dz.mul_(head.scale) if head.scale != 1.0 else dz


def _inside(targets: torch.Tensor, tile: slice) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each target's index in a tile of the vocabulary (0 if elsewhere), and whether it is
    there."""
    inside = (targets >= tile.start) & (targets < tile.stop)
    return (targets - tile.start).where(inside, 0), inside


def _add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """Add ``left @ right`` to a total that may be of a higher dtype, in place."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total.add_(left @ right)


def _parts(length: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, length)) for start in range(0, length, size))


def _of(bias: torch.Tensor | None, tile: slice) -> torch.Tensor | None:
    return None if bias is None else bias[tile]


def _cast(grad: torch.Tensor | None, like: torch.Tensor | None) -> torch.Tensor | None:
    return grad.to(like.dtype) if grad is not None and like is not None else grad
