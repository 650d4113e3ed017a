"""Where the losses lead when the labels are a Bradley-Terry model of the true reward."""

from dataclasses import dataclass

from tgdpo_core.experiments.exact.losses import (
    bradley_terry_labels,
    full_model,
    label_entropy,
    official,
    simplified,
)
from tgdpo_core.experiments.exact.minimum import minimise
from tgdpo_core.experiments.exact.policies import kl, sequence_optimal, token_optimal, value
from tgdpo_core.experiments.exact.world import World


@dataclass(frozen=True)
class OptimumRow:
    """Minima of the three losses over all pairs, beside the two optimal policies.

    Attributes:
        beta: strength of the tie to the reference.
        alpha: strength of the guidance; the reward in f is the true one.
        kl_full_token: KL(minimum of the full model || token-optimal policy), nats.
        kl_token_simplified: KL(token-optimal || minimum of the simplified loss).
        kl_sequence_simplified: KL(sequence-optimal || minimum of the simplified loss).
        kl_sequence_official: KL(sequence-optimal || minimum of the official loss).
        shortfall_token: what the token-optimal policy lacks in E[R] - beta KL to the largest value.
        shortfall_simplified: the same of the minimum of the simplified loss.
        shortfall_official: the same of the minimum of the official loss.
        entropy: of the labels; the least loss that a likelihood can have.
        loss_simplified: the least simplified loss.
        loss_official: the least official loss.
    """

    beta: float
    alpha: float
    kl_full_token: float
    kl_token_simplified: float
    kl_sequence_simplified: float
    kl_sequence_official: float
    shortfall_token: float
    shortfall_simplified: float
    shortfall_official: float
    entropy: float
    loss_simplified: float
    loss_official: float


def compare_optima(world: World, *, alpha: float, beta: float) -> OptimumRow:
    """Return where the full model, the simplified and the official loss come to rest."""
    labels = bradley_terry_labels(world)
    full, reduced, shipped = (
        minimise(world, loss(world, world.rewards, alpha=alpha, beta=beta), labels)
        for loss in (full_model, simplified, official)
    )
    by_token = token_optimal(world, 1 + alpha * world.rewards, beta=beta)
    by_sequence = sequence_optimal(world, beta=beta)
    largest = value(world, by_sequence, beta=beta)
    return OptimumRow(
        beta=beta,
        alpha=alpha,
        kl_full_token=kl(world, full.policy, by_token),
        kl_token_simplified=kl(world, by_token, reduced.policy),
        kl_sequence_simplified=kl(world, by_sequence, reduced.policy),
        kl_sequence_official=kl(world, by_sequence, shipped.policy),
        shortfall_token=largest - value(world, by_token, beta=beta),
        shortfall_simplified=largest - value(world, reduced.policy, beta=beta),
        shortfall_official=largest - value(world, shipped.policy, beta=beta),
        entropy=label_entropy(labels),
        loss_simplified=reduced.loss,
        loss_official=shipped.loss,
    )
