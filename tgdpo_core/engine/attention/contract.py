"""What the door hands to a backend, and what it gets back."""

from dataclasses import dataclass
from typing import Protocol

import torch

from tgdpo_core.engine.layout import Layout


class UnsupportedAttentionError(NotImplementedError):
    """A layer asks for something that a backend, or shared rows as such, cannot do."""


@dataclass(frozen=True)
class LayerSettings:
    """What a layer says about its scores.

    Attributes:
        scaling: of the scores; None is 1 / sqrt(D).
        window: number of last keys that a query sees; None is all.
        softcap: Gemma 2's cap on scores.
        sinks: [Hq] GPT-OSS's sinks, a score that takes probability and gives no value.
    """

    scaling: float | None = None
    window: int | None = None
    softcap: float | None = None
    sinks: torch.Tensor | None = None


class RowAttention(Protocol):
    """Attention over one row, whatever depends on the row prepared."""

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, settings: LayerSettings
    ) -> torch.Tensor:
        """Return [1, T, Hq, D] for query [1, Hq, T, D], key and value [1, Hkv, T, D], one dtype.

        Raises:
            UnsupportedAttentionError: the backend has no such scores, or not in this dtype.
        """
        ...


class Backend(Protocol):
    """A way to attend."""

    @property
    def name(self) -> str:
        """Short, for records."""
        ...

    @property
    def what(self) -> str:
        """In words, for people."""
        ...

    def prepare(self, layout: Layout) -> Layout:
        """Return a layout with what ``bind`` will need of it, made on the CPU."""
        ...

    def bind(self, layout: Layout, device: torch.device) -> RowAttention:
        """Return the attention over a row, once a row."""
        ...


def expand_heads(x: torch.Tensor, num_heads: int, *, dim: int) -> torch.Tensor:
    """Return a tensor with every key head repeated for the queries that share it."""
    repeats = num_heads // x.shape[dim]
    if repeats == 1:
        return x
    shape = list(x.shape)
    shape.insert(dim + 1, repeats)
    return x.unsqueeze(dim + 1).expand(shape).flatten(dim, dim + 1)
