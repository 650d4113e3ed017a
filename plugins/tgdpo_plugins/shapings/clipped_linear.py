"""The paper's shaping without negative weights."""

from typing import TYPE_CHECKING

from tgdpo_core import option
from tgdpo_plugins.shapings.linear import Linear

if TYPE_CHECKING:
    import torch


class ClippedLinear(Linear):
    """f_w = 1 + alpha r, f_l = 1 - alpha r, bounded to [min, max] (after the shift).

    A negative weight pushes a token of the chosen response down, or one of the rejected response
    up: wanted from a reward that can be trusted, harmful from a noisy one.
    """

    min: float = option(0.0, help="smallest weight")
    max: float | None = option(None, help="largest weight; unset: no bound")

    def __post_init__(self) -> None:
        """Refuse an empty interval."""
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")

    def _bounded(self, weights: "torch.Tensor") -> "torch.Tensor":
        return weights.clamp(self.min, self.max)
