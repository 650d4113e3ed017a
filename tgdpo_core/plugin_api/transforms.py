"""Transforms: what happens to token rewards between the store and the shaping."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tgdpo_core.plugin_api.options import Options
from tgdpo_core.plugin_api.rewards import Example

if TYPE_CHECKING:
    import torch


class Transform(Options):
    """Base of a transform of the token rewards of one response.

    A transform that needs statistics writes ``fit``; the core calls it once, on the training set,
    keeps the returned state in run.json, and hands it to every call, for evaluation data too.
    """

    def fit(
        self, rewards: "Sequence[torch.Tensor]", examples: Sequence[Example]
    ) -> Mapping[str, Any]:
        """Return JSON statistics of the training set that ``__call__`` will use.

        Args:
            rewards: one 1-D float32 tensor per response.
            examples: the responses in the same order; each is made when it is asked for, so that a
                training set of any size fits.
        """
        return {}

    def __call__(
        self, rewards: "torch.Tensor", example: Example, state: Mapping[str, Any]
    ) -> "torch.Tensor":
        """Return the transformed rewards of one response, same shape (1-D float32).

        Args:
            rewards: 1-D float32, one value per response token.
            example: the response they belong to.
            state: what ``fit`` returned.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement __call__")
