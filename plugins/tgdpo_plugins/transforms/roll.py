"""The right values, a few tokens too late."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tgdpo_core import Example, Transform, option

if TYPE_CHECKING:
    import torch


class Roll(Transform):
    """r moved k tokens to the right within its response; what leaves the end enters at the start.

    It keeps the values of a response and their order, and shows how precise the place must be:
    where k = 1 changes nothing, the reward is not about single tokens. A response whose length
    divides k stays as it is.
    """

    k: int = option(1, help="tokens to the right; negative: to the left")

    def __call__(
        self, rewards: "torch.Tensor", example: Example, state: Mapping[str, Any]
    ) -> "torch.Tensor":
        """Return the rewards, that of token t at token t + k (modulo the length)."""
        return rewards.roll(self.k)
