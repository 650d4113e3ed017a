"""Segment by segment in plain torch: the reference, for every device and every kind of score."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from tgdpo_core.engine.attention.contract import LayerSettings, expand_heads
from tgdpo_core.engine.layout import Layout, lower_right


class Segments:
    """One call of torch's attention for each segment of a row; no [T, T] mask exists."""

    name = "segments"
    what = "torch's attention, segment by segment"

    def prepare(self, layout: Layout) -> Layout:
        """See ``Backend``; the layout keeps the lists."""
        _ = layout.key_pieces, layout.query_sizes
        return layout

    def bind(self, layout: Layout, device: torch.device) -> "SegmentsRow":
        """Return the attention over a row."""
        return SegmentsRow(layout)


@dataclass(frozen=True)
class SegmentsRow:
    """A row's segments."""

    layout: Layout

    # Lists of lengths would be compiled anew for every row; so this is left out of a compiled
    # layer, whose two halves are compiled once.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, settings: LayerSettings
    ) -> torch.Tensor:
        """See ``RowAttention``.

        Split and join (not slices): a slice's backward would write a zero-filled gradient of the
        whole row for each of them.
        """
        sizes, members = self.layout.key_pieces
        keys, values = key.split(sizes, 2), value.split(sizes, 2)
        queries = query.split(self.layout.query_sizes, 2)
        outputs = []
        for i, (q, pieces) in enumerate(zip(queries, members, strict=True)):
            k, v = _join([keys[j] for j in pieces]), _join([values[j] for j in pieces])
            mask = self.layout.mask(i, settings.window, q.device)
            if settings.softcap is None and settings.sinks is None:
                outputs.append(_fused(q, k, v, mask, settings.scaling))
            else:
                outputs.append(_plain(q, k, v, mask, settings))
        return torch.cat(outputs, 2).transpose(1, 2).contiguous()


def _join(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, 2)


def _fused(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
) -> torch.Tensor:
    # Grouped heads are left to the kernel only where it needs no mask and is not the CPU's: with a
    # mask CUDA would take the kernel that keeps all scores, and the CPU's grouping costs up to
    # twice the time of expanded keys.
    if mask is not None or not _is_on_gpu(q):
        k, v = _expand(k, q.shape[1]), _expand(v, q.shape[1])
    return F.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=mask,
        is_causal=mask is None,
        scale=scaling,
        enable_gqa=q.shape[1] != k.shape[1],
    )


def _is_on_gpu(x: torch.Tensor) -> bool:
    return x.is_cuda


def _plain(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    settings: LayerSettings,
) -> torch.Tensor:
    """Soft-capped scores (Gemma 2) and sinks (GPT-OSS), which fused attention does not have."""
    k, v = _expand(k, q.shape[1]), _expand(v, q.shape[1])
    scaling = q.shape[-1] ** -0.5 if settings.scaling is None else settings.scaling
    scores = (q @ k.transpose(-1, -2)) * scaling
    if settings.softcap is not None:
        scores = settings.softcap * torch.tanh(scores / settings.softcap)
    if mask is None:
        mask = lower_right(q.shape[2], k.shape[2], None, q.device)
    scores = scores.masked_fill(~mask, float("-inf"))
    if settings.sinks is not None:
        sinks = settings.sinks.reshape(1, -1, 1, 1).expand(scores.shape[0], -1, scores.shape[2], 1)
        scores = torch.cat([scores, sinks.to(scores.dtype)], -1)
    probabilities = scores.float().softmax(-1)[..., : k.shape[2]]
    return probabilities.to(v.dtype) @ v


def _expand(x: torch.Tensor, num_heads: int) -> torch.Tensor:
    return expand_heads(x, num_heads, dim=1)
