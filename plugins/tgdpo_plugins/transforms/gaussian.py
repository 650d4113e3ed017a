"""Noise with the right mean and spread."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tgdpo_core import Example, Transform, option
from tgdpo_plugins.seeding import example_generator
from tgdpo_plugins.transforms.token_statistics import by_side, token_mean, token_std

if TYPE_CHECKING:
    import torch


class Gaussian(Transform):
    """Normal noise with the mean and the sd that the rewards of the class have.

    It keeps two numbers a side and destroys everything else. Rewards with heavy tails
    (log-ratios) lose these too; ``permute`` keeps them.
    """

    seed: int = option(0, help="seed of the noise")

    def fit(
        self, rewards: "Sequence[torch.Tensor]", examples: Sequence[Example]
    ) -> Mapping[str, Any]:
        """Return mean and standard deviation of chosen and of rejected training tokens."""
        return {
            "mean": by_side(token_mean, rewards, examples),
            "std": by_side(token_std, rewards, examples),
        }

    def __call__(
        self, rewards: "torch.Tensor", example: Example, state: Mapping[str, Any]
    ) -> "torch.Tensor":
        """Return noise drawn for this response."""
        mean, std = state["mean"][example.side], state["std"][example.side]
        generator = example_generator(example, stream="gaussian", seed=self.seed)
        return rewards.new_tensor([generator.gauss(mean, std) for _ in range(len(rewards))])
