"""Weights that are always positive."""

from typing import TYPE_CHECKING

from tgdpo_core import option
from tgdpo_plugins.shapings.shared_options import TwoSidedShaping

if TYPE_CHECKING:
    import torch

_LARGEST_LIMIT = 80.0  # exp(88.7) is the end of float32


class Exponential(TwoSidedShaping):
    """f_w = exp(alpha r), f_l = exp(-alpha r), with the exponent bounded to [-limit, limit].

    For small alpha r it is the linear shaping; without a shift no weight is ever negative.
    """

    limit: float = option(5.0, help="bound of the exponent; 5 is weights from 0.0067 to 148")

    def __post_init__(self) -> None:
        """Refuse a limit that float32 does not hold."""
        if not 0 < self.limit <= _LARGEST_LIMIT:
            raise ValueError(
                f"limit must be above 0 and at most {_LARGEST_LIMIT}, got {self.limit}"
            )

    def g_w(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return exp(alpha r)."""
        return self._exp(self.alpha_w * rewards)

    def g_l(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return exp(-alpha r)."""
        return self._exp(-self.alpha_l * rewards)

    def _exp(self, exponents: "torch.Tensor") -> "torch.Tensor":
        return exponents.clamp(-self.limit, self.limit).exp()
