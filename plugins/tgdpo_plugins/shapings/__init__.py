"""Built-in shapings: from the reward of a token to its weight in the loss."""

from collections.abc import Callable
from typing import Any

from tgdpo_core import hookimpl
from tgdpo_plugins.shapings.clipped_linear import ClippedLinear
from tgdpo_plugins.shapings.constant import Constant
from tgdpo_plugins.shapings.exponential import Exponential
from tgdpo_plugins.shapings.linear import Linear
from tgdpo_plugins.shapings.magnitude import Magnitude
from tgdpo_plugins.shapings.one_sided import ChosenOnly, RejectedOnly
from tgdpo_plugins.shapings.symmetric import Symmetric


@hookimpl
def register_shapings(register: Callable[[str, Any], None]) -> None:
    """Register them."""
    register("linear", Linear)
    register("symmetric", Symmetric)
    register("magnitude", Magnitude)
    register("constant", Constant)
    register("exponential", Exponential)
    register("clipped-linear", ClippedLinear)
    register("chosen-only", ChosenOnly)
    register("rejected-only", RejectedOnly)
