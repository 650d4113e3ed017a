"""FlexAttention: one kernel a layer, generated for the row's mask and the layer's scores.

For what flash kernels do not have: soft-caps (Gemma 2), sinks (GPT-OSS), float32 on a GPU.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from tgdpo_core.engine.attention.contract import LayerSettings, UnsupportedAttentionError
from tgdpo_core.engine.layout import BLOCK, Layout, TokenPlaces


@dataclass(frozen=True)
class Flex:
    """Torch's FlexAttention behind the door."""

    name: str
    what: str
    attention: Callable[..., Any]  # flex_attention, compiled where there is a compiler for it

    def prepare(self, layout: Layout) -> Layout:
        """See ``Backend``."""
        return layout.with_places()

    def bind(self, layout: Layout, device: torch.device) -> "FlexRow":
        """Return the attention over a row."""
        return FlexRow(layout.places(device), self.attention)


def flex() -> Flex:
    """Return the backend.

    Raises:
        UnsupportedAttentionError: this torch has none.
    """
    try:
        from torch.nn.attention.flex_attention import AuxRequest, flex_attention  # noqa: F401
    except ImportError as error:
        raise UnsupportedAttentionError(
            f"torch {torch.__version__} has no flex_attention with log-sum-exps"
        ) from error
    return Flex("flex", "torch's FlexAttention", _compiled())


@functools.cache
def _compiled() -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True)


@dataclass(frozen=True)
class FlexRow:
    """A row's block masks, one for each window that its layers have."""

    places: TokenPlaces
    attention: Callable[..., Any]
    _masks: dict[int | None, Any] = field(default_factory=dict, compare=False, repr=False)

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, settings: LayerSettings
    ) -> torch.Tensor:
        """See ``RowAttention``.

        A sink takes its share of the probability away from the output of the others:

            out * exp(lse) / (exp(lse) + exp(sink)) = out * sigmoid(lse - sink)
        """
        from torch.nn.attention.flex_attention import AuxRequest

        output, aux = self.attention(
            query,
            key,
            value,
            score_mod=None
            if settings.softcap is None
            else soft_cap(settings.softcap, query.device),
            block_mask=self._mask(settings.window),
            scale=settings.scaling,
            enable_gqa=query.shape[1] != key.shape[1],
            return_aux=AuxRequest(lse=settings.sinks is not None),
        )
        if settings.sinks is not None:
            kept = torch.sigmoid(aux.lse - settings.sinks.float()[None, :, None])
            output = output * kept[..., None].to(output.dtype)
        result: torch.Tensor = output.transpose(1, 2).contiguous()
        return result

    # Made once a row, outside of what is compiled a layer.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _mask(self, window: int | None) -> Any:
        """Return the block mask: which blocks see which is known from the pairs, token by token
        it is ``visible``, so no [T, T] tensor exists."""
        from torch.nn.attention.flex_attention import BlockMask

        if window not in self._masks:
            places, length = self.places, len(self.places.pair)
            self._masks[window] = BlockMask.from_kv_blocks(
                places.block_counts[None, None],
                places.block_members[None, None],
                BLOCK_SIZE=BLOCK,
                mask_mod=visible(places, window),
                seq_lengths=(length, length),
            )
        return self._masks[window]


def visible(places: TokenPlaces, window: int | None) -> Callable[..., torch.Tensor]:
    """Return FlexAttention's ``mask_mod`` of a row: what ``Layout`` says, token by token."""
    pair, branch, position = places.pair, places.branch, places.position

    def full(b: Any, h: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        is_own = (branch[key] == 0) | (branch[key] == branch[query])
        return (pair[query] == pair[key]) & is_own & (position[key] <= position[query])

    if window is None:
        return full
    # A number would be a symbol to the compiler, which its kernels do not take.
    last = torch.full((), window, device=pair.device)

    def windowed(b: Any, h: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return full(b, h, query, key) & (position[query] - position[key] < last)

    return windowed


@functools.cache
def soft_cap(cap: float, device: torch.device) -> Callable[..., torch.Tensor]:
    """Return FlexAttention's ``score_mod`` of Gemma 2: cap * tanh(score / cap)."""
    # A number would be a symbol to the compiler, which its kernels do not take.
    limit = torch.full((), cap, device=device)

    def modify(score: torch.Tensor, b: Any, h: Any, query: Any, key: Any) -> torch.Tensor:
        return limit * torch.tanh(score / limit)

    return modify
