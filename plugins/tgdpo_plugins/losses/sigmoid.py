"""DPO, and TGDPO with token weights."""

from typing import TYPE_CHECKING

from tgdpo_core import Loss, option

if TYPE_CHECKING:
    from tgdpo_core import PairLosses, PairTerms


class Sigmoid(Loss):
    """-log sigmoid(m), m the weighted margin: DPO, and TGDPO's eq. 20; smoothing is cDPO's."""

    label_smoothing: float = option(0.0, help="assumed share of flipped labels, in [0, 0.5)")

    def __post_init__(self) -> None:
        """Refuse a share outside its range."""
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing must be in [0, 0.5), got {self.label_smoothing}")

    def __call__(self, pairs: "PairTerms") -> "PairLosses":
        """Return the loss and the margin of each pair, [P]."""
        from tgdpo_core.engine import LOSSES

        return LOSSES["sigmoid"](pairs, label_smoothing=self.label_smoothing)
