"""The wrong sign."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tgdpo_core import Example, Transform

if TYPE_CHECKING:
    import torch


class Flip(Transform):
    """-r: the control that should do harm; where it does not, the reward says nothing."""

    def __call__(
        self, rewards: "torch.Tensor", example: Example, state: Mapping[str, Any]
    ) -> "torch.Tensor":
        """Return the rewards with the other sign."""
        return -rewards
