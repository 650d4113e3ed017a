"""Mean 0, standard deviation 1."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tgdpo_core import Example, Transform
from tgdpo_plugins.transforms.token_statistics import token_mean, token_std

if TYPE_CHECKING:
    import torch


class Standardize(Transform):
    """(r - mean) / sd, both over all training tokens of both sides.

    Pooled, because a mean and a sd of each side would delete what separates chosen from rejected.
    Unlike ``rms`` it moves the zero: rewards below the mean become negative.
    """

    def fit(
        self, rewards: "Sequence[torch.Tensor]", examples: Sequence[Example]
    ) -> Mapping[str, Any]:
        """Return mean and standard deviation over all response tokens of the training set."""
        mean, std = token_mean(rewards), token_std(rewards)
        if std == 0:
            raise ValueError(
                f"all rewards are {mean:.6g}: there is no spread to standardize. "
                "Check the reward source (tgdpo score), or leave the transform out"
            )
        return {"mean": mean, "std": std}

    def __call__(
        self, rewards: "torch.Tensor", example: Example, state: Mapping[str, Any]
    ) -> "torch.Tensor":
        """Return (r - mean) / sd."""
        return (rewards - state["mean"]) / state["std"]
