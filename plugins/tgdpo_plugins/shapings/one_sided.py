"""Guidance on one side: which one matters?"""

from typing import TYPE_CHECKING

from tgdpo_plugins.shapings.shared_options import GuidedShaping

if TYPE_CHECKING:
    import torch


class ChosenOnly(GuidedShaping):
    """f_w = 1 + alpha r on chosen tokens, 1 on rejected ones."""

    def g_w(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return 1 + alpha r."""
        return 1 + self.alpha * rewards


class RejectedOnly(GuidedShaping):
    """f_l = 1 - alpha r on rejected tokens, 1 on chosen ones."""

    def g_l(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return 1 - alpha r."""
        return 1 - self.alpha * rewards
