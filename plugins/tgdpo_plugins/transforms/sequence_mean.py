"""One value a response."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tgdpo_core import Example, Transform
from tgdpo_plugins.transforms.token_statistics import token_mean

if TYPE_CHECKING:
    import torch


class SequenceMean(Transform):
    """Every token gets the mean of its response: a control without token information.

    It keeps how strongly each response is rewarded; ``center:by=response`` keeps the rest.
    """

    def __call__(
        self, rewards: "torch.Tensor", example: Example, state: Mapping[str, Any]
    ) -> "torch.Tensor":
        """Return the response's mean, once per token."""
        return rewards.new_full(rewards.shape, token_mean([rewards]))
