"""The paper's shaping."""

from typing import TYPE_CHECKING

from tgdpo_plugins.shapings.shared_options import TwoSidedShaping

if TYPE_CHECKING:
    import torch


class Linear(TwoSidedShaping):
    """f_w = 1 + alpha r, f_l = 1 - alpha r (arXiv 2506.14574, eq. 20)."""

    def g_w(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return 1 + alpha r."""
        return 1 + self.alpha_w * rewards

    def g_l(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return 1 - alpha r."""
        return 1 - self.alpha_l * rewards
