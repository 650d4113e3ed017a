"""The world: a reference policy and true token rewards over all sequences of one length."""

from dataclasses import dataclass
from functools import cached_property

import torch

from tgdpo_core.errors import UsageError

MAX_SEQUENCES = 256  # the losses look at every ordered pair of them


@dataclass(frozen=True)
class World:
    """A tree of prefixes: state s and token a lead to state ``A s + a + 1``; state 0 is empty.

    Attributes:
        reference: [S, A] log-probabilities of the reference policy.
        rewards: [S, A] true token rewards, in [-1, 1].
        tokens: [N, H] int64, the tokens of each sequence as flat indices into [S, A]; sequences are
            in lexicographic order.
    """

    reference: torch.Tensor
    rewards: torch.Tensor
    tokens: torch.Tensor

    @property
    def num_sequences(self) -> int:
        """N."""
        return self.tokens.shape[0]

    @property
    def horizon(self) -> int:
        """H."""
        return self.tokens.shape[1]

    def along(self, values: torch.Tensor) -> torch.Tensor:
        """Return [N]: the sum of token values [S, A] along each sequence."""
        return values.reshape(-1)[self.tokens].sum(1)

    @cached_property
    def reference_sequence_logps(self) -> torch.Tensor:
        """[N] log-probabilities of the sequences under the reference."""
        return self.along(self.reference)

    @cached_property
    def sequence_rewards(self) -> torch.Tensor:
        """[N] true rewards of the sequences: sums of their token rewards."""
        return self.along(self.rewards)


def make_world(vocabulary: int, horizon: int, *, seed: int) -> World:
    """Return a world drawn at random.

    Reference logits are normal with standard deviation 1. Token rewards are uniform in [-1, 1]:
    bounded, so that 1 + alpha r is positive for every alpha below 1, as Z(s) demands.

    Raises:
        UsageError: fewer than two tokens, no step, or more than ``MAX_SEQUENCES`` sequences.
    """
    if vocabulary < 2 or horizon < 1 or vocabulary**horizon > MAX_SEQUENCES:
        raise UsageError(
            f"The exact world needs a vocabulary of at least 2, a horizon of at least 1, and "
            f"vocabulary ** horizon of at most {MAX_SEQUENCES} sequences; got {vocabulary} ** "
            f"{horizon}. Lower --vocabulary or --horizon."
        )
    generator = torch.Generator().manual_seed(seed)
    shape = sum(vocabulary**depth for depth in range(horizon)), vocabulary
    logits = torch.randn(shape, generator=generator, dtype=torch.float64)
    rewards = 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1
    return World(logits.log_softmax(-1), rewards, _sequences(vocabulary, horizon))


def shuffled(rewards: torch.Tensor, *, seed: int) -> torch.Tensor:
    """Return [S, A]: the same rewards on other tokens, a reward that knows nothing."""
    order = torch.randperm(rewards.numel(), generator=torch.Generator().manual_seed(seed))
    return rewards.reshape(-1)[order].view_as(rewards)


def _sequences(vocabulary: int, horizon: int) -> torch.Tensor:
    """Return [N, H] flat token indices, by growing every prefix by every token."""
    states = torch.zeros(1, dtype=torch.int64)
    tokens = torch.zeros(1, 0, dtype=torch.int64)
    for _ in range(horizon):
        grown = states[:, None] * vocabulary + torch.arange(vocabulary)
        tokens = torch.cat([tokens.repeat_interleave(vocabulary, 0), grown.reshape(-1, 1)], dim=1)
        states = grown.reshape(-1) + 1
    return tokens
