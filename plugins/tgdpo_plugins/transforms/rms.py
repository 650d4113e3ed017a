"""One dimensionless scale for every source."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tgdpo_core import Example, Transform, option

if TYPE_CHECKING:
    import torch


class Rms(Transform):
    """r scaled so that its root mean square over all training tokens is ``target``.

    One factor for both sides: a factor a side would delete what separates chosen from rejected.
    """

    target: float = option(1.0, help="root mean square after scaling")

    def fit(
        self, rewards: "Sequence[torch.Tensor]", examples: Sequence[Example]
    ) -> Mapping[str, Any]:
        """Return the root mean square over all response tokens of the training set."""
        squares = sum(float((r.double() ** 2).sum()) for r in rewards)
        count = sum(len(r) for r in rewards)
        rms = (squares / count) ** 0.5
        if rms == 0:
            raise ValueError("all rewards are zero: there is no scale to match")
        return {"rms": rms}

    def __call__(
        self, rewards: "torch.Tensor", example: Example, state: Mapping[str, Any]
    ) -> "torch.Tensor":
        """Return r * target / rms."""
        return rewards * (self.target / state["rms"])
