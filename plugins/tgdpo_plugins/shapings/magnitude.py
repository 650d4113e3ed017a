"""How much a token matters, not in which direction."""

from typing import TYPE_CHECKING

from tgdpo_plugins.shapings.shared_options import TwoSidedShaping

if TYPE_CHECKING:
    import torch


class Magnitude(TwoSidedShaping):
    """f_w = f_l = 1 + alpha |r|: tokens with a large reward of either sign weigh more."""

    def g_w(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return 1 + alpha |r|."""
        return 1 + self.alpha_w * rewards.abs()

    def g_l(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return 1 + alpha |r|."""
        return 1 + self.alpha_l * rewards.abs()
