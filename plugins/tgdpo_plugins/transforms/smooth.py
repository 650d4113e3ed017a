"""The slow part of a reward."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tgdpo_core import Example, Transform, option

if TYPE_CHECKING:
    import torch


class Smooth(Transform):
    """Moving average of r over ``window`` tokens of the response, the token itself in the middle.

    At both ends the mean is over the tokens that exist. From 1 (nothing changes) to twice the
    longest response (nearly ``sequence-mean``) the window goes from token to sequence rewards.
    """

    window: int = option(3, help="tokens averaged over: 1, 3, 5, ...")

    def __post_init__(self) -> None:
        """Refuse a window without a middle."""
        if self.window < 1 or self.window % 2 == 0:
            raise ValueError(f"window must be an odd number from 1 on, got {self.window}")

    def __call__(
        self, rewards: "torch.Tensor", example: Example, state: Mapping[str, Any]
    ) -> "torch.Tensor":
        """Return the moving average."""
        from torch.nn.functional import avg_pool1d

        return avg_pool1d(
            rewards.view(1, 1, -1),
            kernel_size=self.window,
            stride=1,
            padding=self.window // 2,
            count_include_pad=False,
        ).view(-1)
