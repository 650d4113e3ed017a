"""Rewards that tgdpo's engine computes by name."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from tgdpo_core import Example, ScoringContext, TokenReward, option

if TYPE_CHECKING:
    import torch


class Entropy(TokenReward):
    """Minus ``factor`` times the policy's entropy at each token, in nats, at every step."""

    dynamic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("policy_entropy",)

    factor: float = option(1.0, help="of the entropy")

    def setup(self, context: ScoringContext) -> None:
        """Keep what metrics are logged with."""
        self._context = context

    def score(self, batch: Sequence[Example]) -> "list[torch.Tensor]":
        """Return the rewards; the mean entropy is logged as reward/entropy/nats."""
        entropies = [example.shared["policy_entropy"] for example in batch]
        for values in entropies:
            if len(values):
                self._context.log_metric("nats", float(values.mean()))
        return [-self.factor * values for values in entropies]


class SequentialKL(TokenReward):
    """KL(pi_ref || pi) at each token, in nats: how far the policy has moved there."""

    dynamic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("kl_reference_policy",)

    def score(self, batch: Sequence[Example]) -> "list[torch.Tensor]":
        """Return the divergences."""
        return [example.shared["kl_reference_policy"] for example in batch]
