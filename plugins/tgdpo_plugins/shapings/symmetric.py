"""One f for both sides."""

from typing import TYPE_CHECKING

from tgdpo_plugins.shapings.shared_options import TwoSidedShaping

if TYPE_CHECKING:
    import torch


class Symmetric(TwoSidedShaping):
    """f_w = f_l = 1 + alpha r: the loss stays the likelihood of a Bradley-Terry model.

    Exchanging chosen and rejected changes the sign of the margin and nothing else, as long as shift
    is 0 and both sides have one alpha. Tokens with a low reward weigh less on both sides.
    """

    def g_w(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return 1 + alpha r."""
        return 1 + self.alpha_w * rewards

    def g_l(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return 1 + alpha r."""
        return 1 + self.alpha_l * rewards
