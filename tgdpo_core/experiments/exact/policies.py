"""Policies in closed form, and how they compare."""

import torch

from tgdpo_core.experiments.exact.world import World


def log_partition(world: World, weights: torch.Tensor, *, beta: float) -> torch.Tensor:
    """Return [S]: log Z(s), Z(s) = sum_a pi_ref(a|s) exp(r(s, a) / (beta f(s, a))).

    ``weights`` [S, A] are the values of f, all positive.
    """
    return torch.logsumexp(world.reference + world.rewards / (beta * weights), dim=-1)


def token_optimal(world: World, weights: torch.Tensor, *, beta: float) -> torch.Tensor:
    """Return [S, A]: pi(a|s) = pi_ref(a|s) exp(r(s, a) / (beta f(s, a))) / Z(s).

    It maximises every step by itself (the closed form that TGDPO's derivation starts from) and does
    not see what a token leads to.
    """
    return (world.reference + world.rewards / (beta * weights)).log_softmax(-1)


def sequence_optimal(world: World, *, beta: float) -> torch.Tensor:
    """Return [S, A]: the policy that maximises E[R] - beta KL(pi || pi_ref) over sequences.

    pi(y) is proportional to pi_ref(y) exp(R(y) / beta); its token probabilities are ratios of sums
    over the sequences that begin alike.
    """
    vocabulary = world.reference.shape[1]
    logits = world.reference_sequence_logps + world.sequence_rewards / beta
    by_depth = [
        torch.logsumexp(logits.view(vocabulary ** (depth + 1), -1), dim=1)
        .view(-1, vocabulary)
        .log_softmax(-1)
        for depth in range(world.horizon)
    ]
    return torch.cat(by_depth)


def kl(world: World, policy: torch.Tensor, other: torch.Tensor) -> float:
    """Return KL(policy || other) of whole sequences, in nats."""
    logps = world.along(policy)
    return (logps.exp() * (logps - world.along(other))).sum().item()


def expected(world: World, policy: torch.Tensor, rewards: torch.Tensor) -> float:
    """Return the expected sum of token rewards [S, A] over a sequence of the policy."""
    return (world.along(policy).exp() * world.along(rewards)).sum().item()


def value(world: World, policy: torch.Tensor, *, beta: float) -> float:
    """Return E[R] - beta KL(policy || reference), what preferences are optimised for."""
    return expected(world, policy, world.rewards) - beta * kl(world, policy, world.reference)
