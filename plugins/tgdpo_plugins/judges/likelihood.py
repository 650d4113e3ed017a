"""The judge ``likelihood``: does the policy find the preferred response more likely?"""

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from tgdpo_core import Judge, PairLikelihood, option


class Likelihood(Judge):
    """Preference accuracy: 1 where the chosen response is likelier than the rejected, 0.5 on a tie.

    No answer is generated and no reference is needed: what counts is log pi of the two responses of
    a pair. Longer responses have more tokens and so a lower log pi; normalize=length compares means
    per token.
    """

    reads: ClassVar[Literal["pairs"]] = "pairs"

    normalize: Literal["none", "length"] = option(
        "none", help="none: the sum over tokens; length: the mean"
    )

    def score_pairs(self, batch: Sequence[PairLikelihood]) -> list[float]:
        """Return 1.0, 0.5 or 0.0 per pair."""
        return [self._accuracy(pair) for pair in batch]

    def _accuracy(self, pair: PairLikelihood) -> float:
        chosen, rejected = self._total(pair.chosen_logps), self._total(pair.rejected_logps)
        return 0.5 if chosen == rejected else float(chosen > rejected)

    def _total(self, logps: Sequence[float]) -> float:
        total = math.fsum(logps)  # exact: the order of tokens decides no tie
        return total / max(1, len(logps)) if self.normalize == "length" else total
