"""Take the mean away."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from tgdpo_core import Example, Transform, option
from tgdpo_plugins.transforms.token_statistics import by_side, token_mean

if TYPE_CHECKING:
    import torch


class Center(Transform):
    """r minus its mean: over the training set, over its class, or over its own response.

    ``pooled`` keeps the gap between chosen and rejected; ``class`` removes it (what is left has
    mean weight 1 on both sides); ``response`` keeps only which token, nothing of which response.
    """

    by: Literal["pooled", "class", "response"] = option(
        "pooled", help="whose mean: all training tokens, those of the class, or the response's"
    )

    def fit(
        self, rewards: "Sequence[torch.Tensor]", examples: Sequence[Example]
    ) -> Mapping[str, Any]:
        """Return the mean of the training set for each class; nothing for ``response``."""
        if self.by == "response":
            return {}
        if self.by == "class":
            return {"mean": by_side(token_mean, rewards, examples)}
        return {"mean": dict.fromkeys(("chosen", "rejected"), token_mean(rewards))}

    def __call__(
        self, rewards: "torch.Tensor", example: Example, state: Mapping[str, Any]
    ) -> "torch.Tensor":
        """Return r - mean."""
        mean = token_mean([rewards]) if self.by == "response" else state["mean"][example.side]
        return rewards - mean
