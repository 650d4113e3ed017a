"""One dimensionless scale for every source."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tgdpo_core import Example, Transform, option
from tgdpo_plugins.transforms.token_statistics import token_rms

if TYPE_CHECKING:
    import torch


class Rms(Transform):
    """r scaled so that its root mean square over all training tokens is ``target``.

    One factor for both sides: a factor a side would delete what separates chosen from rejected.
    """

    target: float = option(1.0, help="root mean square after scaling")

    def __post_init__(self) -> None:
        """Refuse what no root mean square can be."""
        if self.target <= 0:
            raise ValueError(f"target must be above 0, got {self.target}")

    def fit(
        self, rewards: "Sequence[torch.Tensor]", examples: Sequence[Example]
    ) -> Mapping[str, Any]:
        """Return the root mean square over all response tokens of the training set."""
        rms = token_rms(rewards)
        if rms == 0:
            raise ValueError("all rewards are zero: there is no scale to match")
        return {"rms": rms}

    def __call__(
        self, rewards: "torch.Tensor", example: Example, state: Mapping[str, Any]
    ) -> "torch.Tensor":
        """Return r * target / rms."""
        return rewards * (self.target / state["rms"])
