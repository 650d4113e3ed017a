"""A loss with a function of its own over the vocabulary."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from tgdpo_core import Loss, option

if TYPE_CHECKING:
    import torch

    from tgdpo_core import PairLosses, PairTerms


class DpoTV(Loss):
    """-log sigmoid(m) + strength * mean_t TV(pi, pi_ref) over the chosen response.

    TV = 1/2 sum_v |pi(v) - pi_ref(v)| is in [0, 1]; ``over_vocabulary`` computes it for some tokens
    at a time, so that no [tokens, vocabulary] tensor is kept.
    """

    needs: ClassVar[tuple[str, ...]] = ("vocabulary",)

    strength: float = option(0.1, help="factor of the total variation; 0 is DPO")

    def over_vocabulary(
        self, log_p: "torch.Tensor", log_q: "torch.Tensor"
    ) -> "Mapping[str, torch.Tensor]":
        """Return the total variation at each token, [n]."""
        return {"tv": (log_p.exp() - log_q.exp()).abs().sum(-1) / 2}

    def __call__(self, pairs: "PairTerms") -> "PairLosses":
        """Return the losses, [P]; the total variation is logged as loss/tv."""
        from tgdpo_core import PairLosses
        from tgdpo_core.engine import log_sigmoid_loss

        margins = pairs.margins
        tv = pairs.means(pairs.values["tv"]).w
        losses = log_sigmoid_loss(margins) + self.strength * tv
        return PairLosses(losses, margins, {"tv": tv})
