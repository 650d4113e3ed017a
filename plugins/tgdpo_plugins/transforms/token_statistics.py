"""Statistics over all response tokens of a training set.

Sums are exactly rounded (``math.fsum``), so that they do not depend on the order of the pairs.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from tgdpo_core import Example

if TYPE_CHECKING:
    import torch

# Of the largest absolute value: below it, a deviation is what float32 rounding leaves.
_SMALLEST_SPREAD = 1e-7


def token_mean(rewards: "Iterable[torch.Tensor]") -> float:
    """Return the mean over the tokens of all responses, each token with the same weight."""
    sums = [(float(r.double().sum()), len(r)) for r in rewards]
    num_tokens = sum(length for _, length in sums)
    if not num_tokens:
        raise ValueError("there is no token to take a mean of")
    return math.fsum(total for total, _ in sums) / num_tokens


def token_rms(rewards: "Iterable[torch.Tensor]") -> float:
    """Return the root mean square over the tokens of all responses."""
    return math.sqrt(token_mean(r.double() ** 2 for r in rewards))


def token_std(rewards: "Sequence[torch.Tensor]") -> float:
    """Return the standard deviation over the tokens of all responses (divisor: their number).

    It is 0 where the values differ by no more than rounding.
    """
    mean = token_mean(rewards)
    std = token_rms(r.double() - mean for r in rewards)
    largest = max(float(r.abs().max()) for r in rewards)
    return std if std > _SMALLEST_SPREAD * largest else 0.0


def by_side(
    statistic: "Callable[[Sequence[torch.Tensor]], float]",
    rewards: "Sequence[torch.Tensor]",
    examples: Sequence[Example],
) -> dict[str, float]:
    """Return a statistic of the chosen and one of the rejected responses, by side."""
    return {
        side: statistic([r for r, e in zip(rewards, examples, strict=True) if e.side == side])
        for side in ("chosen", "rejected")
    }
