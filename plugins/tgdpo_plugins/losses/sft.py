"""Supervised fine-tuning, the baseline."""

from typing import TYPE_CHECKING

from tgdpo_core import Loss

if TYPE_CHECKING:
    from tgdpo_core import PairLosses, PairTerms


class Sft(Loss):
    """-mean_t f_w log pi of the chosen response: supervised fine-tuning on it."""

    def __call__(self, pairs: "PairTerms") -> "PairLosses":
        """Return the loss and the margin of each pair, [P]."""
        from tgdpo_core.engine import LOSSES

        return LOSSES["sft"](pairs)
