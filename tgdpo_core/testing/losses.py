"""The contract of losses."""

from typing import TYPE_CHECKING, Any

from tgdpo_core.plugin_api.losses import Loss
from tgdpo_core.testing.contract import PluginContract, require

if TYPE_CHECKING:
    import torch

    from tgdpo_core.engine.losses import PairLosses, PairTerms

_LENGTHS = ((7, 4), (1, 1), (60, 20), (3, 30))
_VOCABULARY = 11
_CLOSE = 1e-5  # of float32 sums in another order, relative


class LossContract(PluginContract):
    """Checks of a ``Loss`` on four pairs of short and long responses, with random log-probs.

    Whatever its ``needs`` name is there, made of random distributions.
    """

    plugin: Loss

    def test_it_gives_a_finite_loss_for_each_pair(self) -> None:
        """As in a run."""
        found = self._losses(_pairs(range(4)))
        require(
            bool(found.losses.isfinite().all()),
            f"{self.who}: the losses of four ordinary pairs are {found.losses.tolist()}.",
        )

    def test_it_passes_gradients_to_the_policy(self) -> None:
        """Of every pair, and none of them is NaN."""
        import torch

        pairs = _pairs(range(4))
        losses = self._losses(pairs).losses
        (gradient,) = torch.autograd.grad(losses.sum(), _leaf(pairs))
        require(
            bool(gradient.isfinite().all()) and bool(gradient.abs().sum() > 0),
            f"{self.who}: the gradient of the policy's logits is 0 or not finite.",
        )

    def test_a_pairs_loss_does_not_depend_on_the_others(self) -> None:
        """Alone or among others: which pairs share a row must change no number."""
        import torch

        together = self._losses(_pairs(range(4))).losses
        alone = torch.cat([self._losses(_pairs([i])).losses for i in range(4)])
        require(
            torch.allclose(together, alone, rtol=_CLOSE, atol=_CLOSE),
            f"{self.who}: the losses of four pairs are {together.tolist()} in one row and "
            f"{alone.tolist()} alone. Use pairs.sums and pairs.means, no mean over the row.",
        )

    def test_it_gives_the_same_losses_twice(self) -> None:
        """Equal to the last bit."""
        import torch

        once, twice = (self._losses(_pairs(range(4))).losses for _ in range(2))
        require(
            torch.equal(once, twice),
            f"{self.who}: asked twice, it gave {once.tolist()} and {twice.tolist()}: no random "
            "numbers in a loss.",
        )

    def test_it_changes_nothing_it_is_given(self) -> None:
        """The same log-probs and weights are shown in metrics afterwards."""
        import torch

        pairs = _pairs(range(4))
        names = ("policy_logps", "reference_logps", "weights")
        before = [getattr(pairs, name).detach().clone() for name in names]
        self._losses(pairs)
        changed = [
            name
            for name, old in zip(names, before, strict=True)
            if not torch.equal(old, getattr(pairs, name))
        ]
        require(not changed, f"{self.who} changes {', '.join(changed)} in place.")

    def _losses(self, pairs: "PairTerms") -> "PairLosses":
        """Return what a new instance gives."""
        import dataclasses

        from tgdpo_core.scoring.distribution import own_values
        from tgdpo_core.scoring.loss_choice import checked_loss
        from tgdpo_core.scoring.losses import LossDoor

        loss = self.fresh()
        door = LossDoor(checked_loss(self.who, loss))
        values = own_values(loss, _values(loss, pairs))
        return door(dataclasses.replace(pairs, values=values), "the kit's pairs")[0]


def _pairs(which: Any) -> "PairTerms":
    """Return some of the four pairs, the same numbers each time."""
    import torch

    from tgdpo_core.engine.losses import PairTerms

    logits, reference, targets, weights, pair_ids, is_chosen = [], [], [], [], [], []
    for place, index in enumerate(which):
        rng = torch.Generator().manual_seed(index)
        for chosen, length in zip((True, False), _LENGTHS[index], strict=True):
            logits.append(torch.randn(length, _VOCABULARY, generator=rng))
            reference.append(torch.randn(length, _VOCABULARY, generator=rng))
            targets.append(torch.randint(_VOCABULARY, (length,), generator=rng))
            weights.append(torch.rand(length, generator=rng) + 0.5)
            pair_ids.append(torch.full((length,), place))
            is_chosen.append(torch.full((length,), chosen))
    of_policy = torch.cat(logits).requires_grad_()
    log_p, log_q = of_policy.log_softmax(-1), torch.cat(reference).log_softmax(-1)
    index = torch.cat(targets)[:, None]
    return PairTerms(
        policy_logps=log_p.gather(1, index).squeeze(1),
        reference_logps=log_q.gather(1, index).squeeze(1),
        weights=torch.cat(weights),
        pair_ids=torch.cat(pair_ids),
        is_chosen=torch.cat(is_chosen),
        num_pairs=place + 1,
        beta=0.1,
        values={"leaf": of_policy, "log_p": log_p, "log_q": log_q},
    )


def _leaf(pairs: "PairTerms") -> "torch.Tensor":
    return pairs.values["leaf"]


def _values(loss: Loss, pairs: "PairTerms") -> "dict[str, torch.Tensor]":
    """Return everything that a loss asks, of the kit's distributions."""
    from tgdpo_core.scoring.distribution import distribution_of

    asked = distribution_of((), (type(loss).__name__, loss), _no_head).functions_of_row()
    found: dict[str, torch.Tensor] = {}
    for function in asked:
        found |= function(pairs.values["log_p"], pairs.values["log_q"])
    return found


def _no_head() -> Any:
    raise AssertionError("the kit has no reference")
