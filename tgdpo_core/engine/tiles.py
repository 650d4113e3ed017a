"""The head in tiles: some tokens by some of the vocabulary at a time.

The head (``hidden @ weight.T``, bias, scale, soft-cap) is applied to one tile of the logits at a
time, and again in the backward pass. A tile reads its part of the weight once, and the gradient of
that part is finished when the tile's tokens are, in the weight's own dtype.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from tgdpo_core.engine import epilogue

# Size of one tile of logits in float32: what a CPU's caches like, and what keeps a GPU busy.
_TILE_BYTES = {"cpu": 16 * 2**20, "cuda": 256 * 2**20}
_SMALLEST_TILE = 1024  # vocabulary entries; below it the products become inefficient
_ALIGNED = 128  # vocabulary entries; products of other widths miss the GPU's fast kernels


@dataclass(frozen=True)
class Head:
    """What turns a hidden state into logits, beside the weight, and how large a tile is.

    Attributes:
        softcap: of the logits, or None.
        scale: of the logits.
        dtype: of the products.
        tokens: of a tile.
        vocabulary: entries of a tile.
    """

    softcap: float | None
    scale: float
    dtype: torch.dtype
    tokens: int
    vocabulary: int


def tile_shape(
    shape: tuple[int, int, int], device_type: str, chunk_size: int | None = None
) -> tuple[int, int]:
    """Return (tokens, vocabulary) of a tile: all tokens as far as that leaves the tile wide.

    The width is a multiple of 128, and tiles are as equal as that allows.

    Args:
        shape: [N, V, D], tokens, vocabulary and width of the hidden states.
        device_type: decides how large a tile is.
        chunk_size: tokens of a tile, if they are given.
    """
    tokens, vocabulary, hidden_size = shape
    elements = largest_tile(device_type)
    height = chunk_size or max(1, min(tokens, elements // min(_SMALLEST_TILE, vocabulary)))
    # With several parts, the gradient of the tile's weight is summed beside the logits.
    most = elements // max(height, hidden_size if height < tokens else 1)
    most = max(_ALIGNED, most // _ALIGNED * _ALIGNED)
    number = -(-vocabulary // most)
    width = -(-vocabulary // (number * _ALIGNED)) * _ALIGNED
    return height, min(width, vocabulary)


def largest_tile(device_type: str) -> int:
    """Return how many logits in float32 exist at once."""
    return _TILE_BYTES.get(device_type, _TILE_BYTES["cpu"]) // 4


class TiledLogps(torch.autograd.Function):
    """Forward that keeps only the log-sum-exp; the backward computes each tile again."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        head: Head,
    ) -> torch.Tensor:
        """Return [N] log-probs."""
        values = epilogue.values(hidden.device)
        lse = hidden.new_full((len(hidden),), -torch.inf, dtype=sum_dtype(head))
        found = torch.zeros_like(lse)
        inputs = hidden.to(head.dtype)
        for tile in parts_of(len(weight), head.vocabulary):
            part_of_weight, part_of_bias = _tile_of(weight, bias, tile, head)
            for part in parts_of(len(hidden), head.tokens):
                z = products(inputs[part], part_of_weight, part_of_bias)
                index, inside = _inside(targets[part], tile)
                tile_lse, tile_found = values(z, index, inside, head.scale, head.softcap)
                lse[part] = torch.logaddexp(lse[part], tile_lse)
                found[part] += tile_found
        ctx.save_for_backward(hidden, weight, bias, targets, lse)
        ctx.head = head
        return found - lse

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        """Return the gradients of hidden states, weight and bias, in their dtypes."""
        hidden, weight, bias, targets, lse = ctx.saved_tensors
        head: Head = ctx.head
        grad = grads[0].to(lse.dtype)
        gradient = epilogue.gradient(hidden.device)
        wants_hidden, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        # Sums over tiles are kept in float32: bfloat16 would lose the small ones.
        grad_hidden = torch.zeros_like(hidden, dtype=lse.dtype) if wants_hidden else None
        grad_weight = torch.empty_like(weight) if wants_weight else None
        grad_bias = torch.zeros_like(bias, dtype=lse.dtype) if wants_bias else None
        inputs = hidden.to(head.dtype)
        parts = list(parts_of(len(hidden), head.tokens))
        for tile in parts_of(len(weight), head.vocabulary):
            part_of_weight, part_of_bias = _tile_of(weight, bias, tile, head)
            total = None if grad_weight is None else Total(grad_weight[tile], len(parts))
            for part in parts:
                z = products(inputs[part], part_of_weight, part_of_bias)
                index, inside = _inside(targets[part], tile)
                dz, dz_sum = gradient(
                    z, index, inside, lse[part], grad[part], head.scale, head.softcap, wants_bias
                )
                if grad_bias is not None and dz_sum is not None:
                    grad_bias[tile] += dz_sum
                if grad_hidden is not None:
                    add_product(grad_hidden[part], dz, part_of_weight)
                if total is not None:
                    total.add(dz.t(), inputs[part])
            if total is not None:
                total.finish()
        return (
            None if grad_hidden is None else grad_hidden.to(hidden.dtype),
            grad_weight,
            None if grad_bias is None else grad_bias.to(bias.dtype),
            None,
            None,
        )


class Total:
    """Sum of the products of a tile's parts: written to where it ends, summed in float32 before."""

    def __init__(self, target: torch.Tensor, parts: int) -> None:
        self._target = target
        is_exact = parts <= 1 or target.dtype in (torch.float32, torch.float64)
        self._sum = target if is_exact else torch.empty_like(target, dtype=torch.float32)
        self._is_empty = True

    def add(self, left: torch.Tensor, right: torch.Tensor) -> None:
        """Add ``left @ right``."""
        if self._is_empty:
            _write_product(self._sum, left, right)
        else:
            add_product(self._sum, left, right)
        self._is_empty = False

    def finish(self) -> None:
        """Write the sum."""
        if self._is_empty:
            self._target.zero_()
        elif self._sum is not self._target:
            self._target.copy_(self._sum)


def sum_dtype(head: Head) -> torch.dtype:
    """Return the dtype of sums over tiles."""
    return torch.float64 if head.dtype == torch.float64 else torch.float32


def _tile_of(
    weight: torch.Tensor, bias: torch.Tensor | None, tile: slice, head: Head
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return a tile of weight and bias in the dtype of the products (no copy of the whole)."""
    return weight[tile].to(head.dtype), None if bias is None else bias[tile].to(head.dtype)


def products(hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return ``hidden @ weight.T + bias``, all of one dtype."""
    return hidden @ weight.t() if bias is None else torch.addmm(bias, hidden, weight.t())


def _inside(targets: torch.Tensor, tile: slice) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each target's index in a tile of the vocabulary (0 if elsewhere), and whether it is
    there."""
    inside = (targets >= tile.start) & (targets < tile.stop)
    return (targets - tile.start).where(inside, 0), inside


def _write_product(target: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """Write ``left @ right`` into a tensor that may be of a higher dtype."""
    if left.dtype == target.dtype:
        torch.mm(left, right, out=target)
    else:
        target.copy_(_wide_product(left, right, target.dtype))


def add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """Add ``left @ right`` to a total that may be of a higher dtype, in place."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total.add_(_wide_product(left, right, total.dtype))


def _wide_product(left: torch.Tensor, right: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a product of half-precision matrices, on a GPU as the float32 sums that it is."""
    if left.is_cuda and dtype == torch.float32:
        return torch.mm(left, right, out_dtype=dtype)
    return left @ right


def parts_of(length: int, size: int) -> Iterator[slice]:
    """Yield slices of at most ``size`` that cover a length."""
    return (slice(start, min(start + size, length)) for start in range(0, length, size))
