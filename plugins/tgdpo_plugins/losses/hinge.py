"""SLiC."""

from typing import TYPE_CHECKING

from tgdpo_core import Loss

if TYPE_CHECKING:
    from tgdpo_core import PairLosses, PairTerms


class Hinge(Loss):
    """max(0, 1 - m), m the weighted margin: SLiC."""

    def __call__(self, pairs: "PairTerms") -> "PairLosses":
        """Return the loss and the margin of each pair, [P]."""
        from tgdpo_core.engine import LOSSES

        return LOSSES["hinge"](pairs)
