"""Losses: what is minimised for each preference pair."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from tgdpo_core.plugin_api.options import Options

if TYPE_CHECKING:
    import torch

    from tgdpo_core.engine.losses import PairLosses, PairTerms


class Loss(Options):
    """Base of a preference loss; only ``__call__`` must be written.

    Annotated fields are its options (see ``option``), set by ``loss.args`` of a recipe.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    """What ``__call__`` uses of the policy's whole distribution, found in ``pairs.values``:
    ``policy_entropy``, ``kl_reference_policy``, ``kl_policy_reference``, ``policy_top:K``, and with
    ``vocabulary`` what ``over_vocabulary`` returns. All are differentiable."""

    def required(self) -> tuple[str, ...]:
        """Return ``needs``; override it where the needs depend on the options."""
        return self.needs

    def over_vocabulary(
        self, log_p: "torch.Tensor", log_q: "torch.Tensor"
    ) -> "Mapping[str, torch.Tensor]":
        """Return values of some response tokens by name, made of their whole distributions.

        Called if ``needs`` has ``vocabulary``, on some tokens at a time, in the forward and again
        in the backward pass: use torch, keep nothing.

        Args:
            log_p: log pi, [n, V], differentiable.
            log_q: log pi_ref, [n, V].

        Returns:
            [n] or [n, k] each.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement over_vocabulary")

    def __call__(self, pairs: "PairTerms") -> "torch.Tensor | PairLosses":
        """Return the loss of each pair, [P] and differentiable, or a ``PairLosses``.

        The loss of a step is the mean over its pairs; a pair's must not depend on the others.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement __call__(pairs)")
