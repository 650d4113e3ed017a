"""One value a class."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tgdpo_core import Example, Transform
from tgdpo_plugins.transforms.token_statistics import by_side, token_mean

if TYPE_CHECKING:
    import torch


class ClassMean(Transform):
    """Every token gets the mean of its class, chosen or rejected: the control of every source.

    It keeps the mean weight of both sides and nothing else. What a source gains over it comes from
    its tokens; what both gain over DPO comes from the two constants.
    """

    def fit(
        self, rewards: "Sequence[torch.Tensor]", examples: Sequence[Example]
    ) -> Mapping[str, Any]:
        """Return the mean over all chosen and that over all rejected training tokens."""
        return {"mean": by_side(token_mean, rewards, examples)}

    def __call__(
        self, rewards: "torch.Tensor", example: Example, state: Mapping[str, Any]
    ) -> "torch.Tensor":
        """Return the mean of the response's class, once per token."""
        return rewards.new_full(rewards.shape, state["mean"][example.side])
