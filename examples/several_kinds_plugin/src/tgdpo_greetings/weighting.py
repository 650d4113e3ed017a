"""From rewards to weights: a transform and a shaping."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tgdpo_core import Example, Shaping, Transform, option

if TYPE_CHECKING:
    import torch


class Squash(Transform):
    """limit * tanh(r / limit) of rewards divided by their standard deviation."""

    limit: float = option(2.0, help="largest absolute value, in standard deviations")

    def fit(
        self, rewards: "Sequence[torch.Tensor]", examples: Sequence[Example]
    ) -> Mapping[str, Any]:
        """Return the standard deviation of the training set's rewards."""
        import torch

        return {"std": float(torch.cat(list(rewards)).std()) or 1.0}

    def __call__(
        self, rewards: "torch.Tensor", example: Example, state: Mapping[str, Any]
    ) -> "torch.Tensor":
        """Return the squashed rewards of one response."""
        squashed: torch.Tensor = (rewards / state["std"] / self.limit).tanh()
        return self.limit * squashed


class Quadratic(Shaping):
    """f_w = (1 + alpha r)^2, f_l = (1 - alpha r)^2: never negative."""

    alpha: float = option(0.5, help="strength of the guidance; 0 is plain DPO")

    def f_w(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return the weights of a chosen response."""
        return (1 + self.alpha * rewards).square()

    def f_l(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return the weights of a rejected response."""
        return (1 - self.alpha * rewards).square()
