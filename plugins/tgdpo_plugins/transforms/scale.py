"""Multiply."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tgdpo_core import Example, Transform, option

if TYPE_CHECKING:
    import torch


class Scale(Transform):
    """r * factor."""

    factor: float = option(help="what rewards are multiplied by")

    def __call__(
        self, rewards: "torch.Tensor", example: Example, state: Mapping[str, Any]
    ) -> "torch.Tensor":
        """Return the scaled rewards."""
        return rewards * self.factor
