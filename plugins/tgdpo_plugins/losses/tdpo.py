"""TDPO: DPO with the sequential KL of each response in the margin (arXiv 2404.11999)."""

from typing import TYPE_CHECKING, ClassVar

from tgdpo_core import Loss, option

if TYPE_CHECKING:
    import torch

    from tgdpo_core import PairLosses, PairTerms

_KL = "kl_reference_policy"


class Tdpo1(Loss):
    """-log sigmoid(u - delta): TDPO1, the difference of both responses' sequential KL.

        u = m, the weighted margin
        D(y) = sum_t KL(pi_ref(. | s_t) || pi(. | s_t)) over the tokens of y
        delta = beta D(rejected) - beta D(chosen)

    Weights of a token reward act on the log-ratios in u, not on D. Source: Zeng et al. 2024, arXiv
    2404.11999, section 4.2.
    """

    needs: ClassVar[tuple[str, ...]] = (_KL,)

    def __call__(self, pairs: "PairTerms") -> "PairLosses":
        """Return the loss and the margin u - delta of each pair, [P]."""
        kl = pairs.sums(pairs.values[_KL])
        return _losses(pairs, pairs.beta * (kl.l - kl.w))


class Tdpo2(Loss):
    """-log sigmoid(u - alpha delta2): TDPO2, which holds the chosen response's KL fixed.

        delta2 = beta D(rejected) - stop_gradient(beta D(chosen))        u, D: see tdpo1

    Its gradient lowers D of rejected responses and leaves that of chosen ones alone. Source: Zeng
    et al. 2024, arXiv 2404.11999, section 4.2; alpha 0.5 is theirs.
    """

    needs: ClassVar[tuple[str, ...]] = (_KL,)

    alpha: float = option(0.5, help="factor of the difference of sequential KL; 0 is DPO")

    def __call__(self, pairs: "PairTerms") -> "PairLosses":
        """Return the loss and the margin u - alpha delta2 of each pair, [P]."""
        kl = pairs.sums(pairs.values[_KL])
        return _losses(pairs, self.alpha * pairs.beta * (kl.l - kl.w.detach()))


def _losses(pairs: "PairTerms", delta: "torch.Tensor") -> "PairLosses":
    from tgdpo_core import PairLosses
    from tgdpo_core.engine import log_sigmoid_loss

    kl = pairs.sums(pairs.values[_KL].detach())
    margins = pairs.margins - delta
    metrics = {"kl_chosen": kl.w, "kl_rejected": kl.l}
    return PairLosses(log_sigmoid_loss(margins), margins, metrics)
