"""What the built-in shapings have in common: alpha, shift and normalisation."""

from typing import TYPE_CHECKING, Literal

from tgdpo_core import Shaping, option

if TYPE_CHECKING:
    import torch

# Of the mean absolute weight. Below it, negative weights nearly cancel the positive ones, and
# dividing by the mean would multiply the weights by more than ten.
_SMALLEST_MEAN = 0.1


class ShiftedShaping(Shaping):
    """f_w = N(g_w(r) + shift) and f_l = N(g_l(r) - shift), with g_w = g_l = 1 unless overridden.

    N is the identity, or (``normalize=response``) division by the mean over the response, so that
    neither alpha nor shift changes the effective beta.
    """

    shift: float = option(0.0, help="added to f_w and taken from f_l, before normalisation")
    normalize: Literal["none", "response"] = option(
        "none", help="response: weights are divided by their mean over the response"
    )

    def g_w(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return the weights of a chosen response before shift and normalisation."""
        return rewards.new_ones(rewards.shape)

    def g_l(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return the weights of a rejected response before shift and normalisation."""
        return rewards.new_ones(rewards.shape)

    def f_w(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return the weights of a chosen response."""
        return self._normalized(self._bounded(self.g_w(rewards) + self.shift), "chosen")

    def f_l(self, rewards: "torch.Tensor") -> "torch.Tensor":
        """Return the weights of a rejected response."""
        return self._normalized(self._bounded(self.g_l(rewards) - self.shift), "rejected")

    def _bounded(self, weights: "torch.Tensor") -> "torch.Tensor":
        """Return shifted weights within the shaping's bounds: none here."""
        return weights

    def _normalized(self, weights: "torch.Tensor", side: str) -> "torch.Tensor":
        if self.normalize == "none":
            return weights
        mean = weights.double().mean()
        if mean <= _SMALLEST_MEAN * weights.double().abs().mean():
            raise ValueError(
                f"normalize=response divides by the mean weight, which is {mean:.4g} for this "
                f"{side} response (weights {weights.min():.4g} to {weights.max():.4g}); it must be "
                f"above {_SMALLEST_MEAN} of their mean absolute value. Lower alpha, bound the "
                "rewards (transform clip) or the weights (shaping clipped-linear), or set "
                "normalize=none"
            )
        return (weights.double() / mean).to(weights.dtype)


class GuidedShaping(ShiftedShaping):
    """A shaping in which alpha says how much the reward changes the weights."""

    alpha: float = option(0.5, help="strength of the guidance; 0 is plain DPO")


class TwoSidedShaping(GuidedShaping):
    """A shaping that uses the reward on both sides, with one alpha or one for each."""

    alpha_chosen: float | None = option(None, help="alpha of chosen responses; unset: alpha")
    alpha_rejected: float | None = option(None, help="alpha of rejected responses; unset: alpha")

    @property
    def alpha_w(self) -> float:
        """The alpha in f_w."""
        return self.alpha if self.alpha_chosen is None else self.alpha_chosen

    @property
    def alpha_l(self) -> float:
        """The alpha in f_l."""
        return self.alpha if self.alpha_rejected is None else self.alpha_rejected
