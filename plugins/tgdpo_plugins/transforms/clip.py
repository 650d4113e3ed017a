"""Bound."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tgdpo_core import Example, Transform, option

if TYPE_CHECKING:
    import torch


class Clip(Transform):
    """r bounded to [min, max]; min is -max unless given."""

    max: float = option(help="upper bound")
    min: float | None = option(None, help="lower bound; unset: -max")

    def __post_init__(self) -> None:
        """Refuse an empty interval."""
        if self._low() > self.max:
            raise ValueError(f"min {self._low()} is above max {self.max}")

    def __call__(
        self, rewards: "torch.Tensor", example: Example, state: Mapping[str, Any]
    ) -> "torch.Tensor":
        """Return the bounded rewards."""
        return rewards.clamp(self._low(), self.max)

    def _low(self) -> float:
        return -self.max if self.min is None else self.min
