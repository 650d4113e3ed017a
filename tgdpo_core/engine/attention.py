"""Attention over shared rows, as an attention function of transformers.

Registered under ``tgdpo_shared``: a model whose attention goes through transformers'
``AttentionInterface`` calls it in every layer with the layer's own scale, window, soft-cap and
sinks, and with the row's layout, which travels as a forward keyword (a context variable would be
lost when gradient checkpointing computes a layer again in another thread).
"""

import contextlib
import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from tgdpo_core.engine.layout import Layout, lower_right

NAME = "tgdpo_shared"


class UnsupportedAttentionError(NotImplementedError):
    """A layer asks for something that shared rows cannot do; the probe then chooses padded rows."""


def shared_attention(  # noqa: PLR0913 - the signature that transformers calls
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    tgdpo_layout: Layout | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Return [1, T, Hq, D]: every position attends to what the layout lets it see.

    Args:
        module: the attention layer.
        query: [1, Hq, T, D].
        key: [1, Hkv, T, D].
        value: [1, Hkv, T, D].
        attention_mask: must be None (the layout says what is seen).
        scaling: of the scores; None is 1 / sqrt(D).
        dropout: must be 0.
        sliding_window: number of last keys that a query sees.
        softcap: Gemma 2's cap on scores.
        s_aux: [Hq] GPT-OSS's sinks: a score that takes probability and gives no value.
        tgdpo_layout: the row's layout.
        kwargs: what else a layer passes; a position bias cannot be honoured.

    Raises:
        UnsupportedAttentionError: the layer asks for a mask, a bias, dropout or an unknown window.
    """
    window = _window(module, sliding_window)
    if tgdpo_layout is None:
        raise UnsupportedAttentionError("the row's layout did not reach the attention layer")
    if attention_mask is not None or kwargs.get("position_bias") is not None or dropout:
        raise UnsupportedAttentionError("the layer passes a mask, a position bias or dropout")
    eager = softcap is not None or s_aux is not None
    is_half = query.dtype in (torch.float16, torch.bfloat16)
    if query.is_cuda and is_half and not eager and _has_varlen():
        output = _varlen(query, key, value, tgdpo_layout, scaling, window)
    else:
        output = _by_segments(query, key, value, tgdpo_layout, scaling, window, softcap, s_aux)
    return output, None


def _window(module: torch.nn.Module, sliding_window: int | None) -> int | None:
    window = sliding_window
    if window is None:
        window = getattr(module, "sliding_window", None)
    if window is None and getattr(module, "is_sliding", False):
        raise UnsupportedAttentionError("a sliding layer that does not say its window")
    return window


def _by_segments(  # noqa: PLR0913 - one attention's worth of settings
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    scaling: float | None,
    window: int | None,
    softcap: float | None,
    s_aux: torch.Tensor | None,
) -> torch.Tensor:
    """Attend segment by segment; no [T, T] mask exists.

    Split and join (not slices): a slice's backward would write a zero-filled gradient of the whole
    row for each of them.
    """
    # The CPU kernel's own grouping of heads costs up to twice the time of expanded keys.
    expand = not query.is_cuda or softcap is not None or s_aux is not None
    sizes, members = layout.key_pieces
    keys, values = key.split(sizes, 2), value.split(sizes, 2)
    outputs = []
    for i, (q, pieces) in enumerate(zip(query.split(layout.query_sizes, 2), members, strict=True)):
        k, v = _join([keys[j] for j in pieces]), _join([values[j] for j in pieces])
        if expand:
            k, v = _expand_heads(k, q.shape[1]), _expand_heads(v, q.shape[1])
        mask = layout.mask(i, window, q.device)
        if softcap is None and s_aux is None:
            outputs.append(_sdpa(q, k, v, mask, scaling))
        else:
            outputs.append(_eager(q, k, v, mask, scaling, softcap, s_aux))
    return torch.cat(outputs, 2).transpose(1, 2).contiguous()


def _join(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, 2)


def _sdpa(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
) -> torch.Tensor:
    grouped = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, scale=scaling, enable_gqa=grouped
    )


def _expand_heads(x: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Return [1, num_heads, T, D]: every key head repeated for the queries that share it."""
    batch, kv_heads, length, width = x.shape
    repeats = num_heads // kv_heads
    if repeats == 1:
        return x
    view = x[:, :, None].expand(batch, kv_heads, repeats, length, width)
    return view.reshape(batch, num_heads, length, width)


def _eager(  # noqa: PLR0913 - one attention's worth of settings
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
    s_aux: torch.Tensor | None,
) -> torch.Tensor:
    """Soft-capped scores (Gemma 2) and sinks (GPT-OSS), which fused attention does not have."""
    scores = (q @ k.transpose(-1, -2)) * (q.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is None:
        mask = lower_right(q.shape[2], k.shape[2], None, q.device)
    scores = scores.masked_fill(~mask, float("-inf"))
    if s_aux is not None:
        sinks = s_aux.reshape(1, -1, 1, 1).expand(scores.shape[0], -1, scores.shape[2], 1)
        scores = torch.cat([scores, sinks.to(scores.dtype)], -1)
    probabilities = scores.float().softmax(-1)[..., : k.shape[2]]
    return probabilities.to(v.dtype) @ v


@functools.cache
def _has_varlen() -> bool:
    """Return whether this torch has variable-length attention with windows and grouped heads."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return False
    return {"window_size", "enable_gqa"} <= inspect.signature(varlen_attn).parameters.keys()


def _varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """One kernel for all segments (flash attention of torch), on gathered keys and values."""
    from torch.nn.attention.varlen import varlen_attn

    plan = layout.varlen(query.device)
    left = -1 if window is None else window - 1  # flash counts the keys before a query
    output = varlen_attn(
        query[0].transpose(0, 1),
        key[0].transpose(0, 1).index_select(0, plan.key_index),
        value[0].transpose(0, 1).index_select(0, plan.key_index),
        plan.cu_queries,
        plan.cu_keys,
        plan.max_queries,
        plan.max_keys,
        scale=scaling,
        window_size=(left, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(output, torch.Tensor)  # a tuple only where more is asked for
    return output[None]


@dataclass
class CallCount:
    """How often the attention function was called."""

    count: int = 0


def register() -> None:
    """Make the function known to transformers under ``NAME``."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, shared_attention)


@contextlib.contextmanager
def counted() -> Iterator[CallCount]:
    """Count the calls for a while: a model whose layers do not all call it must not share rows."""
    from transformers import AttentionInterface

    calls = CallCount()

    def counting(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, None]:
        calls.count += 1
        return shared_attention(*args, **kwargs)

    AttentionInterface.register(NAME, counting)
    try:
        yield calls
    finally:
        AttentionInterface.register(NAME, shared_attention)


@contextlib.contextmanager
def use(model: Any, name: str) -> Iterator[None]:
    """Use another attention implementation for a while."""
    before = implementation(model)
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def plain_implementation(model: Any) -> str:
    """Return the implementation that a model was loaded with, noted on the model the first time.

    A row leaves the model on ``NAME`` (see ``TokenLogps``), so a later engine could not tell.
    """
    noted: str = vars(model).setdefault("tgdpo_plain_attention", implementation(model))
    return noted


def implementation(model: Any) -> str:
    """Return the name of the attention implementation that a model uses."""
    name: str = model.config._attn_implementation
    return name
