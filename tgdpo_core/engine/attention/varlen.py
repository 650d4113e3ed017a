"""One variable-length flash kernel for all segments of a row.

Every segment is a sequence of its own to the kernel: its queries, and its keys and values gathered
(a prompt once for each response that sees it). Queries are the last of their keys, as flash
attention aligns them.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from tgdpo_core.engine.attention.contract import (
    LayerSettings,
    UnsupportedAttentionError,
    expand_heads,
)
from tgdpo_core.engine.layout import Layout, VarlenPlan

Kernel = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, VarlenPlan, LayerSettings], torch.Tensor
]
"""``kernel(query [T, Hq, D], key [K, Hkv, D], value, plan, settings)`` -> [T, Hq, D]."""


@dataclass(frozen=True)
class Varlen:
    """A variable-length kernel behind the door."""

    name: str
    what: str
    kernel: Kernel

    def prepare(self, layout: Layout) -> Layout:
        """See ``Backend``."""
        return layout.with_varlen()

    def bind(self, layout: Layout, device: torch.device) -> "VarlenRow":
        """Return the attention over a row, its index tensors on the device."""
        return VarlenRow(layout.varlen(device), self.kernel)


@dataclass(frozen=True)
class VarlenRow:
    """A row in the form of variable-length kernels."""

    plan: VarlenPlan
    kernel: Kernel

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, settings: LayerSettings
    ) -> torch.Tensor:
        """See ``RowAttention``."""
        if query.dtype not in (torch.float16, torch.bfloat16):
            raise UnsupportedAttentionError(f"flash kernels have no {query.dtype}")
        if settings.sinks is not None:
            raise UnsupportedAttentionError("the kernel has no sinks")
        keys = key[0].transpose(0, 1).index_select(0, self.plan.key_index)
        values = value[0].transpose(0, 1).index_select(0, self.plan.key_index)
        return self.kernel(query[0].transpose(0, 1), keys, values, self.plan, settings)[None]


def torch_varlen() -> Varlen:
    """Return torch's own kernel.

    Raises:
        UnsupportedAttentionError: this torch has none that can do what rows need.
    """
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError as error:
        raise UnsupportedAttentionError(f"torch {torch.__version__} has no varlen_attn") from error
    return Varlen("varlen", "torch's variable-length flash kernel", torch_kernel(varlen_attn))


def flash_attn_varlen() -> Varlen:
    """Return the kernel of the package flash-attn, which has soft-caps as well.

    Raises:
        UnsupportedAttentionError: the package is not installed.
    """
    try:
        from flash_attn import flash_attn_varlen_func
    except ImportError as error:
        raise UnsupportedAttentionError("flash-attn is not installed") from error
    kernel = flash_attn_kernel(flash_attn_varlen_func)
    return Varlen("flash-attn", "flash-attn's variable-length kernel", kernel)


def torch_kernel(varlen_attn: Callable[..., Any]) -> Kernel:
    """Return torch's function as a kernel, in the signature that it has.

    torch 2.11 has windows but no grouped heads, so keys and values are expanded; later ones have
    both.
    """
    parameters = inspect.signature(varlen_attn).parameters
    if not {"window_size", "scale"} <= parameters.keys():
        raise UnsupportedAttentionError(f"varlen_attn of torch {torch.__version__} has no windows")
    return functools.partial(_call_torch, varlen_attn, "enable_gqa" in parameters)


def _call_torch(  # noqa: PLR0913 - a kernel's arguments, and which function is called
    varlen_attn: Callable[..., Any],
    grouped: bool,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    plan: VarlenPlan,
    settings: LayerSettings,
) -> torch.Tensor:
    if settings.softcap is not None:
        raise UnsupportedAttentionError("torch's variable-length kernel has no soft-cap")
    if not grouped:
        key = expand_heads(key, query.shape[1], dim=1)
        value = expand_heads(value, query.shape[1], dim=1)
    groups = {"enable_gqa": query.shape[1] != key.shape[1]} if grouped else {}
    output: torch.Tensor = varlen_attn(
        query,
        key,
        value,
        plan.cu_queries,
        plan.cu_keys,
        plan.max_queries,
        plan.max_keys,
        scale=settings.scaling,
        window_size=_window_size(settings),
        **groups,
    )
    return output


def flash_attn_kernel(flash_attn_varlen_func: Callable[..., Any]) -> Kernel:
    """Return flash-attn's function as a kernel."""
    parameters = inspect.signature(flash_attn_varlen_func).parameters
    return functools.partial(_call_flash_attn, flash_attn_varlen_func, "softcap" in parameters)


def _call_flash_attn(  # noqa: PLR0913 - a kernel's arguments, and which function is called
    flash_attn_varlen_func: Callable[..., Any],
    caps: bool,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    plan: VarlenPlan,
    settings: LayerSettings,
) -> torch.Tensor:
    if settings.softcap is not None and not caps:
        raise UnsupportedAttentionError("this version of flash-attn has no soft-cap")
    softcap = {"softcap": settings.softcap} if settings.softcap is not None else {}
    output: torch.Tensor = flash_attn_varlen_func(
        query,
        key,
        value,
        cu_seqlens_q=plan.cu_queries,
        cu_seqlens_k=plan.cu_keys,
        max_seqlen_q=plan.max_queries,
        max_seqlen_k=plan.max_keys,
        softmax_scale=settings.scaling,
        causal=True,
        window_size=_window_size(settings),
        **softcap,
    )
    return output


def _window_size(settings: LayerSettings) -> tuple[int, int]:
    """Return (keys before a query, keys after it); -1 is all of them."""
    return (-1 if settings.window is None else settings.window - 1, 0)
