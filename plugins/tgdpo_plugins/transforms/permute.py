"""The right values at the wrong places."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tgdpo_core import Example, Transform, option
from tgdpo_plugins.seeding import example_generator

if TYPE_CHECKING:
    import torch


class Permute(Transform):
    """The values of each response, shuffled over its tokens: the strongest noise control.

    It keeps the exact distribution of values in every response and destroys their places. The last
    token (EOS) stays in its place unless the option says otherwise; the last token of a truncated
    response is no EOS and takes part.
    """

    seed: int = option(0, help="seed of the shuffle")
    include_eos: bool = option(False, help="whether the last token (EOS) takes part")

    def __call__(
        self, rewards: "torch.Tensor", example: Example, state: Mapping[str, Any]
    ) -> "torch.Tensor":
        """Return the rewards in an order drawn for this response."""
        is_truncated = len(example.response_ids) < example.num_untruncated
        num_moving = len(rewards) if self.include_eos or is_truncated else len(rewards) - 1
        order = list(range(num_moving))
        example_generator(example, stream="permute", seed=self.seed).shuffle(order)
        return rewards[[*order, *range(num_moving, len(rewards))]]
