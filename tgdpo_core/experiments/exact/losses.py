"""Losses over all ordered pairs of sequences: full model, simplified, official; and their labels.

Labels are one matrix [N, N]: entry (i, j) is the probability (or the share of a data set) that the
pair i, j is drawn and i is preferred. A population and a data set are the same kind of thing.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from tgdpo_core.experiments.exact.policies import log_partition
from tgdpo_core.experiments.exact.world import World


@dataclass(frozen=True)
class Objective:
    """What turns a policy into a margin for every ordered pair of sequences.

        z(i > j) = beta sum_t f_w log pi/pi_ref |i + c_i - beta sum_t f_l log pi/pi_ref |j - c_j

    Attributes:
        beta: strength of the tie to the reference.
        chosen_weights: [S, A] values of f_w.
        rejected_weights: [S, A] values of f_l.
        offsets: [N] the terms c, ``beta sum_t f log Z(s_t)`` in the full model; 0 where dropped.
    """

    beta: float
    chosen_weights: torch.Tensor
    rejected_weights: torch.Tensor
    offsets: torch.Tensor

    def margins(self, world: World, policy: torch.Tensor) -> torch.Tensor:
        """Return [N, N]: z(i > j)."""
        logratios = policy - world.reference
        chosen = self.beta * world.along(self.chosen_weights * logratios) + self.offsets
        rejected = self.beta * world.along(self.rejected_weights * logratios) + self.offsets
        return chosen[:, None] - rejected[None, :]

    def loss(self, world: World, policy: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean of - log sigmoid z(i > j) over the labels, a scalar."""
        return -(labels * F.logsigmoid(self.margins(world, policy))).sum()


def simplified(world: World, rewards: torch.Tensor, *, alpha: float, beta: float) -> Objective:
    """Return the loss with f_w = f_l = 1 + alpha r and without Z(s_t); alpha 0 is DPO."""
    weights = 1 + alpha * rewards
    return Objective(beta, weights, weights, torch.zeros(world.num_sequences).double())


def full_model(world: World, rewards: torch.Tensor, *, alpha: float, beta: float) -> Objective:
    """Return the likelihood before the simplification: f_w = f_l = f, with sum_t beta f log Z(s_t).

    delta of a pair is the difference of its two offsets (arXiv 2506.14574, section 4).
    """
    weights = 1 + alpha * rewards
    log_z = log_partition(world, weights, beta=beta)[:, None]
    return Objective(beta, weights, weights, world.along(beta * weights * log_z))


def official(world: World, rewards: torch.Tensor, *, alpha: float, beta: float) -> Objective:
    """Return the paper's practical loss: f_w = 1 + alpha r, f_l = 1 - alpha r, without Z(s_t)."""
    no_offsets = torch.zeros(world.num_sequences).double()
    return Objective(beta, 1 + alpha * rewards, 1 - alpha * rewards, no_offsets)


def pair_probabilities(world: World) -> torch.Tensor:
    """Return [N, N]: two different sequences drawn from the reference; symmetric, sums to 1."""
    logps = world.reference_sequence_logps
    drawn = (logps[:, None] + logps[None, :]).exp().fill_diagonal_(0)
    return drawn / drawn.sum()


def bradley_terry_labels(world: World) -> torch.Tensor:
    """Return [N, N] labels with P(i preferred) = sigmoid(R_i - R_j), R the true reward."""
    preferred = torch.sigmoid(world.sequence_rewards[:, None] - world.sequence_rewards[None, :])
    return _normalized(pair_probabilities(world) * preferred)


def coin_flip_labels(world: World) -> torch.Tensor:
    """Return [N, N] labels that say nothing: P(i preferred) = 1/2 for every pair."""
    return pair_probabilities(world)


def sampled_pairs(labels: torch.Tensor, num_pairs: int, *, seed: int) -> torch.Tensor:
    """Return [P] int64: labelled pairs drawn from the labels, as flat indices into [N, N]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.multinomial(labels.reshape(-1), num_pairs, replacement=True, generator=generator)


def dataset_labels(pairs: torch.Tensor, num_sequences: int) -> torch.Tensor:
    """Return [N, N]: the labels of a data set of pairs, each with the same share."""
    counts = torch.bincount(pairs, minlength=num_sequences**2).double()
    return (counts / counts.sum()).view(num_sequences, num_sequences)


def label_entropy(labels: torch.Tensor) -> float:
    """Return the entropy of a label given its pair, in nats: the least loss of any likelihood."""
    given_pair = labels / (labels + labels.T)
    return -torch.xlogy(labels, given_pair.where(labels > 0, 1)).sum().item()


def _normalized(labels: torch.Tensor) -> torch.Tensor:
    return labels / labels.sum()
