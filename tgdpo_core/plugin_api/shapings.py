"""Shapings: how a token reward becomes the weight of its token in the loss."""

from typing import TYPE_CHECKING

from tgdpo_core.plugin_api.options import Options

if TYPE_CHECKING:
    import torch


class Shaping(Options):
    """Base of ``f_w`` and ``f_l`` (paper, eq. 20).

    Both take the 1-D float32 rewards of one response and return its weights, same shape. The
    core detaches them and refuses values that are not finite.
    """

    def f_w(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return the weights of a chosen response."""
        raise NotImplementedError(f"{type(self).__name__} must implement f_w(rewards)")

    def f_l(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return the weights of a rejected response."""
        raise NotImplementedError(f"{type(self).__name__} must implement f_l(rewards)")

    def __call__(
        self, rewards_w: "torch.Tensor", rewards_l: "torch.Tensor"
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """Return the weights of one pair; override it where they depend on both responses."""
        return self.f_w(rewards_w), self.f_l(rewards_l)
