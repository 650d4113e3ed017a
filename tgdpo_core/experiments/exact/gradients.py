"""Does the simplified loss point where the full model points, for one pair and for a data set?"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from tgdpo_core.experiments.exact.losses import (
    Objective,
    bradley_terry_labels,
    dataset_labels,
    full_model,
    sampled_pairs,
    simplified,
)
from tgdpo_core.experiments.exact.world import World

DATASET_SIZES = (2, 8, 64, 2048)
_SINGLE_PAIRS = 20


@dataclass(frozen=True)
class GradientRow:
    """Cosines of the two gradients at the reference policy.

    Attributes:
        beta: strength of the tie to the reference.
        alpha: strength of the guidance in f = 1 + alpha r.
        delta_std: standard deviation of delta over the pairs, the term that is dropped.
        one_pair: the least cosine of 20 data sets of one pair.
        datasets: the cosine for a data set of 2, 8, 64 and 2048 pairs, in this order.
    """

    beta: float
    alpha: float
    delta_std: float
    one_pair: float
    datasets: tuple[float, ...]


def compare_gradients(world: World, *, alpha: float, beta: float, seed: int) -> GradientRow:
    """Return the cosines for one pair and for data sets of growing size.

    The gradient of one pair is ``- sigmoid(-z - delta) grad z`` with delta and the same without it:
    one direction. A data set adds such terms with other coefficients: another direction.
    """
    full = full_model(world, world.rewards, alpha=alpha, beta=beta)
    reduced = simplified(world, world.rewards, alpha=alpha, beta=beta)
    pairs = sampled_pairs(bradley_terry_labels(world), max(DATASET_SIZES), seed=seed)

    def cosine(some: torch.Tensor) -> float:
        labels = dataset_labels(some, world.num_sequences)
        exact = gradient_at_reference(world, full, labels)
        return F.cosine_similarity(
            exact, gradient_at_reference(world, reduced, labels), dim=0
        ).item()

    deltas = (full.offsets[:, None] - full.offsets[None, :]).reshape(-1)[pairs]
    return GradientRow(
        beta=beta,
        alpha=alpha,
        delta_std=deltas.std().item(),
        one_pair=min(cosine(pairs[k : k + 1]) for k in range(_SINGLE_PAIRS)),
        datasets=tuple(cosine(pairs[:size]) for size in DATASET_SIZES),
    )


def gradient_at_reference(world: World, objective: Objective, labels: torch.Tensor) -> torch.Tensor:
    """Return [S * A]: the gradient of the loss in the logits, at the reference policy."""
    logits = world.reference.clone().requires_grad_(True)
    loss = objective.loss(world, logits.log_softmax(-1), labels)
    return torch.autograd.grad(loss, logits)[0].reshape(-1)
