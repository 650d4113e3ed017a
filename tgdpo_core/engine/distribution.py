"""What a whole next-token distribution says at each response token, without a [N, V] tensor.

Some tokens at a time get all their logits, those of the reference beside them where they are
wanted; everything that is asked is computed from them, and they are gone. The backward pass makes
them again. Shapes: N tokens, V vocabulary, D width, C columns of what is asked, log-prob first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from tgdpo_core.engine import epilogue
from tgdpo_core.engine.quantities import Over
from tgdpo_core.engine.tiles import (
    Head,
    Total,
    add_product,
    largest_tile,
    parts_of,
    products,
    sum_dtype,
)


@dataclass(frozen=True)
class ReferenceHead:
    """What turns hidden states of the reference into its logits.

    Attributes:
        weight: [V, D'], frozen.
        bias: [V] or None.
        softcap: of the logits, or None.
        scale: of the logits.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    softcap: float | None
    scale: float

    def to(self, device: torch.device) -> "ReferenceHead":
        """Return the head on a device."""
        bias = None if self.bias is None else self.bias.to(device)
        return replace(self, weight=self.weight.to(device), bias=bias)

    def log_probs(self, hidden: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return [n, V] log-probs of hidden states [n, D'], products in ``dtype``."""
        bias = None if self.bias is None else self.bias.to(dtype)
        z = products(hidden.to(dtype), self.weight.to(dtype), bias)
        return torch.log_softmax(epilogue.finished(z, self.scale, self.softcap), -1)


@dataclass(frozen=True)
class Asked:
    """What is asked of the distribution at every token of a row, beside the log-prob.

    Attributes:
        functions: each gives one or more values by name.
        hidden: [N, D'] of the reference, or None.
        head: of the reference, or None.
    """

    functions: Sequence[Over]
    hidden: torch.Tensor | None = None
    head: ReferenceHead | None = None

    def columns(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        hidden: torch.Tensor | None,
        dtype: torch.dtype,
    ) -> tuple[torch.Tensor, "Columns"]:
        """Return everything about some tokens, [n, C], and what the columns are.

        Args:
            logits: [n, V] of the policy, finished.
            targets: [n] int64.
            hidden: [n, D'] of the reference.
            dtype: of products.
        """
        log_p = torch.log_softmax(logits, -1)
        log_q = None
        if self.head is not None and hidden is not None:
            with torch.no_grad():
                log_q = self.head.log_probs(hidden, dtype).to(log_p.dtype)
        found = {"": log_p.gather(1, targets[:, None]).squeeze(1)}
        for function in self.functions:
            found |= function(log_p, log_q)
        flat = [v if v.dim() == 2 else v[:, None] for v in found.values()]
        shapes = tuple((name, v.shape[1:], v.dtype) for name, v in found.items())
        return torch.cat([v.to(log_p.dtype) for v in flat], 1), Columns(shapes)


@dataclass(frozen=True)
class Columns:
    """What the columns of a result are: name, shape behind [N], dtype."""

    shapes: tuple[tuple[str, torch.Size, torch.dtype], ...]

    def split(self, joined: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the log-probs [N], and the other values by name."""
        sizes = [shape.numel() for _, shape, _ in self.shapes]
        values = {
            name: part.reshape(len(joined), *shape).to(
                part.dtype if dtype.is_floating_point else dtype
            )
            for part, (name, shape, dtype) in zip(joined.split(sizes, 1), self.shapes, strict=True)
        }
        return values.pop(""), values


def of_logits(
    logits: torch.Tensor, targets: torch.Tensor, asked: Asked
) -> tuple[torch.Tensor, Columns]:
    """Return what is asked of logits [N, V] that exist already."""
    return asked.columns(logits, targets, asked.hidden, logits.dtype)


def of_hidden(  # noqa: PLR0913 - a head, as in ``token_logps``
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    asked: Asked,
    *,
    softcap: float | None,
    scale: float,
    dtype: torch.dtype,
    chunk_size: int | None = None,
) -> tuple[torch.Tensor, Columns]:
    """Return [N, C] of hidden states [N, D], differentiable in them, weight and bias.

    The caller switches autocast off: forward and backward must use one dtype.

    Args:
        hidden: [N, D].
        weight: [V, D].
        bias: [V] or None.
        targets: [N] int64.
        asked: of the distributions.
        softcap: of the logits.
        scale: of the logits.
        dtype: of the products.
        chunk_size: tokens whose logits exist at once; None: what fits a tile.
    """
    most = chunk_size or max(1, largest_tile(hidden.device.type) // len(weight))
    head = Head(softcap, scale, dtype, most, len(weight))
    with torch.no_grad():  # of no token: only the shapes
        none = slice(0, 0)
        _, columns = _chunk(hidden[none], weight, bias, targets[none], asked, none, head)
    joined: torch.Tensor = _Chunked.apply(hidden, weight, bias, targets, asked, head)
    return joined, columns


def _chunk(  # noqa: PLR0913 - a head, as in ``token_logps``
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    asked: Asked,
    part: slice,
    head: Head,
) -> tuple[torch.Tensor, Columns]:
    z = products(hidden.to(head.dtype), weight.to(head.dtype), _cast(bias, head.dtype))
    return _of_raw(z, targets, asked, part, head)


def _of_raw(
    z: torch.Tensor, targets: torch.Tensor, asked: Asked, part: slice, head: Head
) -> tuple[torch.Tensor, Columns]:
    logits = epilogue.finished(z, head.scale, head.softcap)
    hidden = None if asked.hidden is None else asked.hidden[part]
    return asked.columns(logits, targets, hidden, head.dtype)


class _Chunked(torch.autograd.Function):
    """Forward that keeps no logits; the backward makes each chunk's again."""

    @staticmethod
    def forward(  # noqa: PLR0913 - torch's form
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        asked: Asked,
        head: Head,
    ) -> torch.Tensor:
        """Return [N, C]."""
        found = [
            _chunk(hidden[part], weight, bias, targets[part], asked, part, head)[0]
            for part in parts_of(max(len(hidden), 1), head.tokens)
        ]
        ctx.save_for_backward(hidden, weight, bias, targets)
        ctx.asked, ctx.head = asked, head
        return torch.cat(found)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        """Return the gradients of hidden states, weight and bias, in their dtypes."""
        hidden, weight, bias, targets = ctx.saved_tensors
        asked, head = ctx.asked, ctx.head
        wide = sum_dtype(head)
        wants_hidden, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        grad_hidden = torch.zeros_like(hidden, dtype=wide) if wants_hidden else None
        grad_weight = torch.empty_like(weight) if wants_weight else None
        grad_bias = torch.zeros_like(bias, dtype=wide) if wants_bias else None
        inputs, cast_weight = hidden.to(head.dtype), weight.to(head.dtype)
        parts = list(parts_of(len(hidden), head.tokens))
        total = None if grad_weight is None else Total(grad_weight, len(parts))
        for part in parts:
            z = products(inputs[part], cast_weight, _cast(bias, head.dtype)).requires_grad_()
            with torch.enable_grad():
                found, _ = _of_raw(z, targets[part], asked, part, head)
                (dz,) = torch.autograd.grad(found, z, grads[0][part].to(found.dtype))
            if grad_bias is not None:
                grad_bias += dz.sum(0, dtype=wide)
            if grad_hidden is not None:
                add_product(grad_hidden[part], dz, cast_weight)
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
            None,
        )


def _cast(bias: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    return None if bias is None else bias.to(dtype)
