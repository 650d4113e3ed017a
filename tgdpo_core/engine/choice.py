"""What the probe is asked for, and what it found."""

from dataclasses import dataclass
from typing import Literal

import torch

from tgdpo_core.engine.attention import Backend
from tgdpo_core.engine.layout import Layout


@dataclass(frozen=True)
class Request:
    """What the probe is asked for.

    Attributes:
        layout: ``auto`` or ``pad``.
        attention: ``auto``, or the name of a backend to try first.
        autocast: dtype that rows will be computed in where it is not the model's; None tries
            bfloat16 for float32 weights on a GPU.
        row_multiple: what the lengths of shared rows are multiples of.
    """

    layout: str = "auto"
    attention: str = "auto"
    autocast: torch.dtype | None = None
    row_multiple: int = 1


@dataclass(frozen=True)
class Choice:
    """What the probe found.

    Attributes:
        layout: ``share`` (every prompt once) or ``pad``.
        layout_reason: why.
        head: ``chunked`` (hidden states and the head on response tokens only) or ``model`` (the
            model's logits).
        head_reason: why.
        attention: the backend of shared rows, or ``plain`` for the model's own on padded rows;
            with float32 weights on a GPU, that of rows under autocast.
        attention_reason: why, and why not those before it.
        head_kernel: what computes the chunked head.
        head_kernel_reason: why, and why not those before it.
    """

    layout: Literal["share", "pad"]
    layout_reason: str
    head: Literal["chunked", "model"]
    head_reason: str
    attention: str
    attention_reason: str
    head_kernel: str
    head_kernel_reason: str


@dataclass(frozen=True)
class Backends:
    """The attention of shared rows, by the precision that they are computed in."""

    full: Backend
    half: Backend

    def of(self, dtype: torch.dtype) -> Backend:
        """Return the backend for rows computed in ``dtype``."""
        return self.half if dtype in (torch.float16, torch.bfloat16) else self.full

    def prepare(self, layout: Layout) -> Layout:
        """Return a layout with what the backends will need of it, made on the CPU."""
        return self.half.prepare(self.full.prepare(layout))
