"""What the losses do with labels that say nothing."""

from dataclasses import dataclass
from typing import Literal

import torch

from tgdpo_core.experiments.exact.losses import coin_flip_labels, official, simplified
from tgdpo_core.experiments.exact.minimum import minimise
from tgdpo_core.experiments.exact.policies import expected, kl
from tgdpo_core.experiments.exact.world import World, shuffled

Guidance = Literal["true", "shuffled"]
GUIDANCE: tuple[Guidance, ...] = ("true", "shuffled")


@dataclass(frozen=True)
class CoinFlipRow:
    """Minima under labels with P(i preferred) = 1/2; the loss of knowing nothing is ln 2.

    Attributes:
        beta: strength of the tie to the reference.
        guidance: the reward in the weights: the true one, or the same values on other tokens.
        alpha: strength of the guidance.
        loss_dpo: the least DPO loss.
        loss_simplified: the least loss with one common f.
        loss_official: the least official loss.
        kl_official: KL(minimum of the official loss || reference), nats.
        guiding_gain: what the official loss adds to the expected guiding reward of a sequence.
        true_gain: what it adds to the expected true reward.
    """

    beta: float
    guidance: Guidance
    alpha: float
    loss_dpo: float
    loss_simplified: float
    loss_official: float
    kl_official: float
    guiding_gain: float
    true_gain: float


def flip_coins(
    world: World, *, guidance: Guidance, alpha: float, beta: float, seed: int
) -> CoinFlipRow:
    """Return what DPO, one common f and the official loss learn from coin-flip labels."""
    labels = coin_flip_labels(world)
    rewards = world.rewards if guidance == "true" else shuffled(world.rewards, seed=seed)
    dpo = minimise(world, simplified(world, rewards, alpha=0.0, beta=beta), labels)
    common = minimise(world, simplified(world, rewards, alpha=alpha, beta=beta), labels)
    shipped = minimise(world, official(world, rewards, alpha=alpha, beta=beta), labels)

    def gain(values: torch.Tensor) -> float:
        return expected(world, shipped.policy, values) - expected(world, world.reference, values)

    return CoinFlipRow(
        beta=beta,
        guidance=guidance,
        alpha=alpha,
        loss_dpo=dpo.loss,
        loss_simplified=common.loss,
        loss_official=shipped.loss,
        kl_official=kl(world, shipped.policy, world.reference),
        guiding_gain=gain(rewards),
        true_gain=gain(world.rewards),
    )
