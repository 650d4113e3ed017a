"""The paper's shaping."""

from typing import TYPE_CHECKING

from tgdpo_core import Shaping, option

if TYPE_CHECKING:
    import torch


class Linear(Shaping):
    """f_w = 1 + alpha r, f_l = 1 - alpha r (arXiv 2506.14574, eq. 20)."""

    alpha: float = option(0.5, help="strength of the guidance; 0 is plain DPO")

    def f_w(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return 1 + alpha r."""
        return 1 + self.alpha * rewards

    def f_l(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return 1 - alpha r."""
        return 1 - self.alpha * rewards
