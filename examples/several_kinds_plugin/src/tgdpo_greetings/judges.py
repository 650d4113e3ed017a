"""A judge of answers and a judge of pairs."""

from collections.abc import Sequence
from statistics import mean
from typing import ClassVar

from tgdpo_core import Generation, Judge, PairLikelihood, option


class Short(Judge):
    """1 for an answer of at most ``words`` words, else 0."""

    words: int = option(20, help="most words")

    def score(self, batch: Sequence[Generation]) -> list[float]:
        """Return one number per answer."""
        return [float(len(item.response.split()) <= self.words) for item in batch]


class Sure(Judge):
    """1 where the policy finds the chosen response likelier by more than ``nats``, else 0."""

    reads: ClassVar = "pairs"
    nats: float = option(1.0, help="how much likelier, in nats per token")

    def score_pairs(self, batch: Sequence[PairLikelihood]) -> list[float]:
        """Return one number per pair; a response without tokens has 0 nats."""
        return [
            float(_mean(pair.chosen_logps) - _mean(pair.rejected_logps) > self.nats)
            for pair in batch
        ]


def _mean(values: Sequence[float]) -> float:
    return mean(values) if values else 0.0
