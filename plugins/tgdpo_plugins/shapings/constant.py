"""Weights that do not look at the reward."""

from typing import TYPE_CHECKING

from tgdpo_core import option
from tgdpo_plugins.shapings.shared_options import ShiftedShaping

if TYPE_CHECKING:
    import torch


class Constant(ShiftedShaping):
    """The same weight for every token of a side: the control without token information.

    There is no alpha, for there is no reward in it. ``shift=s`` is short for ``chosen=1+s`` and
    ``rejected=1-s``; ``normalize=response`` makes every weight 1, which is plain DPO.
    """

    chosen: float = option(1.0, help="weight of chosen tokens, before the shift")
    rejected: float = option(1.0, help="weight of rejected tokens, before the shift")

    def g_w(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return ``chosen`` for every token."""
        return rewards.new_full(rewards.shape, self.chosen)

    def g_l(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return ``rejected`` for every token."""
        return rewards.new_full(rewards.shape, self.rejected)
