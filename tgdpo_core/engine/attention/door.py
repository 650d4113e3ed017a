"""The door: the attention function of transformers that every layer of a shared row goes through.

Registered under ``tgdpo_shared``: a model whose attention goes through transformers'
``AttentionInterface`` calls it in every layer with the layer's own scale, window, soft-cap and
sinks, and with the row's attention, which travels as a forward keyword (a context variable would be
lost when gradient checkpointing computes a layer again in another thread).
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from tgdpo_core.engine.attention.contract import (
    LayerSettings,
    RowAttention,
    UnsupportedAttentionError,
)

NAME = "tgdpo_shared"


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
    tgdpo_attention: RowAttention | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Return [1, T, Hq, D]: every position attends to what the row's layout lets it see.

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
        tgdpo_attention: a backend bound to the row.
        kwargs: what else a layer passes; a position bias cannot be honoured.

    Raises:
        UnsupportedAttentionError: the layer asks for a mask, a bias, dropout or an unknown window.
    """
    window = _window(module, sliding_window)
    if tgdpo_attention is None:
        raise UnsupportedAttentionError("the row's layout did not reach the attention layer")
    if attention_mask is not None or kwargs.get("position_bias") is not None or dropout:
        raise UnsupportedAttentionError("the layer passes a mask, a position bias or dropout")
    query, key, value = _one_dtype(query, key, value)
    settings = LayerSettings(scaling, window, softcap, s_aux)
    return tgdpo_attention.attend(query, key, value, settings), None


def _window(module: torch.nn.Module, sliding_window: int | None) -> int | None:
    window = sliding_window
    if window is None:
        window = getattr(module, "sliding_window", None)
    if window is None and getattr(module, "is_sliding", False):
        raise UnsupportedAttentionError("a sliding layer that does not say its window")
    return window


def _one_dtype(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return all three in the dtype that the products are to be computed in.

    Float32 weights under autocast are how most models are trained, and rotary embeddings make query
    and key float32 there.
    """
    kind, dtype = query.device.type, value.dtype
    if torch.is_autocast_enabled(kind) and dtype != torch.float64:  # which autocast leaves alone
        dtype = torch.get_autocast_dtype(kind)
    return query.to(dtype), key.to(dtype), value.to(dtype)


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

    # In a compiled layer the count would be a constant to compile anew for, call by call.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def counting(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, None]:
        calls.count += 1
        return shared_attention(*args, **kwargs)

    AttentionInterface.register(NAME, counting)
    try:
        yield calls
    finally:
        AttentionInterface.register(NAME, shared_attention)
