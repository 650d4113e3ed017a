"""Weights that do not look at the reward."""

from typing import TYPE_CHECKING

from tgdpo_core import Shaping, option

if TYPE_CHECKING:
    import torch


class Constant(Shaping):
    """The same weight for every token of a side: the control without token information."""

    chosen: float = option(1.0, help="weight of chosen tokens")
    rejected: float = option(1.0, help="weight of rejected tokens")

    def f_w(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return ``chosen`` for every token."""
        return rewards.new_full(rewards.shape, self.chosen)

    def f_l(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return ``rejected`` for every token."""
        return rewards.new_full(rewards.shape, self.rejected)
