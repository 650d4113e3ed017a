"""IPO, length-normalised."""

from typing import TYPE_CHECKING

from tgdpo_core import Loss

if TYPE_CHECKING:
    from tgdpo_core import PairLosses, PairTerms


class Ipo(Loss):
    """(mean_t |chosen - mean_t |rejected - 1/(2 beta))^2 of weighted log-ratios: IPO."""

    def __call__(self, pairs: "PairTerms") -> "PairLosses":
        """Return the loss and the margin of each pair, [P]."""
        from tgdpo_core.engine import LOSSES

        return LOSSES["ipo"](pairs)
