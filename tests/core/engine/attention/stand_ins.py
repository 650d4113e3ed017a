"""Stand-ins for kernels that need a GPU: their signatures, their documentation in plain torch.

They refuse what the kernels refuse, and what would be a wrong statement about the row.
"""

from typing import Any

import torch


def plain_varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_q: torch.Tensor,
    cu_k: torch.Tensor,
    scale: float | None,
    window: tuple[int, int],
    softcap: float = 0.0,
) -> torch.Tensor:
    """Return [T, Hq, D]: queries attend to their keys, aligned at the lower right."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    outputs = []
    for i in range(len(cu_q) - 1):
        q = query[cu_q[i] : cu_q[i + 1]].float()
        k, v = (x[cu_k[i] : cu_k[i + 1]].float() for x in (key, value))
        scores = torch.einsum("qhd,khd->hqk", q, k) * (scale or q.shape[-1] ** -0.5)
        if softcap:
            scores = softcap * torch.tanh(scores / softcap)
        ahead = torch.arange(len(k))[None] - (torch.arange(len(q)) + len(k) - len(q))[:, None]
        left, right = window
        hidden = (ahead > right) if right >= 0 else torch.zeros_like(ahead, dtype=torch.bool)
        if left >= 0:
            hidden |= -ahead > left
        probabilities = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        outputs.append(torch.einsum("hqk,khd->qhd", probabilities, v))
    return torch.cat(outputs).to(query.dtype)


def check(
    query: torch.Tensor,
    key: torch.Tensor,
    cu_q: torch.Tensor,
    cu_k: torch.Tensor,
    max_q: int,
    max_k: int,
    grouped: bool,
) -> None:
    """Raise what a kernel would raise, or should."""
    assert query.dtype == key.dtype
    assert query.dtype in (torch.float16, torch.bfloat16), query.dtype
    assert cu_q.dtype == cu_k.dtype == torch.int32
    assert (cu_q[-1], cu_k[-1]) == (len(query), len(key))
    assert (max_q, max_k) == (cu_q.diff().max(), cu_k.diff().max())
    if not grouped and query.shape[1] != key.shape[1]:
        raise ValueError("Expect query and key/value to have the same number of heads")


def torch_2_11(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    *,
    return_aux: Any = None,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
) -> torch.Tensor:
    check(query, key, cu_seq_q, cu_seq_k, max_q, max_k, grouped=False)
    return plain_varlen(query, key, value, cu_seq_q, cu_seq_k, scale, window_size)


def torch_2_13(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor | None,
    max_q: int,
    max_k: int,
    *,
    return_aux: Any = None,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
    seqused_k: torch.Tensor | None = None,
    block_table: torch.Tensor | None = None,
    num_splits: int | None = None,
) -> torch.Tensor:
    assert cu_seq_k is not None
    check(query, key, cu_seq_q, cu_seq_k, max_q, max_k, grouped=enable_gqa)
    return plain_varlen(query, key, value, cu_seq_q, cu_seq_k, scale, window_size)


def flash_attn_varlen_func(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cu_seqlens_q: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Any = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
    block_table: Any = None,
) -> torch.Tensor:
    check(q, k, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, grouped=True)
    assert causal
    window = (window_size[0], 0)  # what causal makes of it
    return plain_varlen(q, k, v, cu_seqlens_q, cu_seqlens_k, softmax_scale, window, softcap)


def uncapped_flash_attn(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cu_seqlens_q: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
) -> torch.Tensor:
    """An old flash-attn."""
    raise AssertionError("must not be asked for a soft-cap")


@torch.library.custom_op("tgdpo_tests::opaque_varlen", mutates_args=())
def opaque_varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_q: torch.Tensor,
    cu_k: torch.Tensor,
    max_q: int,
    max_k: int,
    scale: float,
) -> torch.Tensor:
    """The kernel as one operator, as torch's own is."""
    check(query, key, cu_q, cu_k, max_q, max_k, grouped=True)
    return plain_varlen(query, key, value, cu_q, cu_k, scale, (-1, 0))


@opaque_varlen.register_fake
def _(
    query: Any, key: Any, value: Any, cu_q: Any, cu_k: Any, max_q: Any, max_k: Any, scale: Any
) -> torch.Tensor:
    return torch.empty_like(query)


@torch.library.custom_op("tgdpo_tests::opaque_varlen_backward", mutates_args=())
def opaque_varlen_backward(
    grad: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_q: torch.Tensor,
    cu_k: torch.Tensor,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Its backward, by hand: autograd does not see into an operator."""
    groups = query.shape[1] // key.shape[1]
    wide_key, wide_value = (x.float().repeat_interleave(groups, 1) for x in (key, value))
    dq, dk, dv = (torch.zeros_like(x, dtype=torch.float32) for x in (query, wide_key, wide_value))
    for i in range(len(cu_q) - 1):
        queries, keys = slice(cu_q[i], cu_q[i + 1]), slice(cu_k[i], cu_k[i + 1])
        q, g, k, v = query[queries].float(), grad[queries].float(), wide_key[keys], wide_value[keys]
        hidden = torch.ones(len(q), len(k), dtype=torch.bool).triu(1 + len(k) - len(q))
        scores = torch.einsum("qhd,khd->hqk", q, k) * scale
        p = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        dp = torch.einsum("qhd,khd->hqk", g, v)
        ds = p * (dp - (p * dp).sum(-1, keepdim=True)) * scale
        dq[queries] = torch.einsum("hqk,khd->qhd", ds, k)
        dk[keys] = torch.einsum("hqk,qhd->khd", ds, q)
        dv[keys] = torch.einsum("hqk,qhd->khd", p, g)
    dk, dv = (x.unflatten(1, (key.shape[1], groups)).sum(2) for x in (dk, dv))
    return dq.to(query.dtype), dk.to(key.dtype), dv.to(value.dtype)


@opaque_varlen_backward.register_fake
def _(
    grad: Any, query: Any, key: Any, value: Any, cu_q: Any, cu_k: Any, scale: Any
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    *tensors, _, _, ctx.scale = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, grad: torch.Tensor) -> Any:
    return *opaque_varlen_backward(grad, *ctx.saved_tensors, ctx.scale), *[None] * 5


opaque_varlen.register_autograd(_backward, setup_context=_keep)


def opaque(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> torch.Tensor:
    """``varlen_attn`` on the operator."""
    assert window_size == (-1, 0)
    return opaque_varlen(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, scale or 0.25)
