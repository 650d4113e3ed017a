"""What the layers of a model ask a backend for, and whether its gradients are right for that."""

from typing import Any

import torch

from tgdpo_core.engine.attention.contract import Backend, LayerSettings, RowAttention
from tgdpo_core.engine.attention.segments import Segments
from tgdpo_core.engine.layout import Layout

_HALF = (torch.float16, torch.bfloat16)
ALLOWED = {True: 0.05, False: 1e-3}  # relative error of gradients: in half precision, in full
_Call = tuple[torch.Tensor, torch.Tensor, torch.Tensor, LayerSettings]


class Recorder:
    """A backend that passes on to another, and keeps one call of each kind of layer."""

    def __init__(self, backend: Backend) -> None:
        self.name, self.what = backend.name, backend.what
        self._backend = backend
        self._calls: dict[Any, _Call] = {}
        self._rows: tuple[RowAttention, RowAttention]

    def prepare(self, layout: Layout) -> Layout:
        """See ``Backend``."""
        return self._backend.prepare(layout)

    def bind(self, layout: Layout, device: torch.device) -> "Recorder":
        """Return itself, bound to the row."""
        self._rows = self._backend.bind(layout, device), Segments().bind(layout, device)
        return self

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, settings: LayerSettings
    ) -> torch.Tensor:
        """See ``RowAttention``."""
        kind = (settings.window, settings.softcap, settings.sinks is None, query.shape, key.shape)
        self._calls.setdefault(kind, (query, key, value, settings))
        return self._rows[0].attend(query, key, value, settings)

    def wrong_gradient(self) -> str | None:
        """Return how far the gradients of a kept call are from the reference, None if near.

        The reference is attention segment by segment, in float32, of the same numbers.
        """
        for query, key, value, settings in self._calls.values():
            generator = torch.Generator().manual_seed(0)
            upstream = torch.randn(query.transpose(1, 2).shape, generator=generator)
            upstream = upstream.to(query.device)
            inputs = query, key, value
            found = _gradients(self._rows[0], inputs, settings, upstream)
            wide = [x.float() if x.dtype in _HALF else x for x in inputs]
            truth = _gradients(self._rows[1], wide, settings, upstream)
            pairs = zip(found, truth, strict=True)
            worst = max(((a - b).norm() / b.norm()).item() for a, b in pairs)
            allowed = ALLOWED[query.dtype in _HALF]
            if not worst <= allowed:
                return f"gradients of attention are off by {worst:.2g} (allowed {allowed:.1g})"
        return None


def _gradients(
    row: RowAttention, inputs: Any, settings: LayerSettings, upstream: torch.Tensor
) -> list[torch.Tensor]:
    leaves = [x.detach().requires_grad_() for x in inputs]
    with torch.enable_grad(), torch.autocast(upstream.device.type, enabled=False):
        output = row.attend(leaves[0], leaves[1], leaves[2], settings)
        gradients = torch.autograd.grad((output.float() * upstream).sum(), leaves)
    return [gradient.float() for gradient in gradients]
