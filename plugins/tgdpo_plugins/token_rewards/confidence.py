"""How sure the policy itself is of each token, at every step."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from tgdpo_core import Example, TokenReward, option

if TYPE_CHECKING:
    import torch


class Confidence(TokenReward):
    """The policy's own confidence in each token, taken anew at every step; nothing is stored.

    With p_t = pi(a_t | s_t), the policy's probability of the token at this step:

    selected      0 where p_t is at most the mean of p over the response, -1 elsewhere
    probability   p_t
    surprise      -log p_t, in nats

    Training only on tokens that the policy is less sure of than on average, the idea of ConfPO
    (arXiv 2506.08712), is ``selected`` (the default) with ``--shaping symmetric --shaping-arg
    alpha=1``: weights are 1 on these tokens and 0 on the others, on both sides.
    """

    dynamic: ClassVar[bool] = True

    measure: Literal["selected", "probability", "surprise"] = option(
        "selected", help="what the reward is, see above"
    )

    def score(self, batch: Sequence[Example]) -> "list[torch.Tensor]":
        """Return the measure of every response token under the policy as it is now."""
        return [self._measure(example.shared["policy_logps"]) for example in batch]

    def _measure(self, logps: "torch.Tensor") -> "torch.Tensor":
        if self.measure == "surprise":
            return -logps
        p = logps.exp()
        return p if self.measure == "probability" else -(p > p.mean()).float()
