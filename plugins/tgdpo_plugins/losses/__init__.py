"""Built-in losses: what is minimised for each preference pair."""

from collections.abc import Callable
from typing import Any

from tgdpo_core import hookimpl
from tgdpo_plugins.losses.hinge import Hinge
from tgdpo_plugins.losses.ipo import Ipo
from tgdpo_plugins.losses.sft import Sft
from tgdpo_plugins.losses.sigmoid import Sigmoid
from tgdpo_plugins.losses.simpo import Simpo
from tgdpo_plugins.losses.tdpo import Tdpo1, Tdpo2


@hookimpl
def register_losses(register: Callable[[str, Any], None]) -> None:
    """Register them."""
    register("sigmoid", Sigmoid)
    register("ipo", Ipo)
    register("hinge", Hinge)
    register("simpo", Simpo)
    register("sft", Sft)
    register("tdpo1", Tdpo1)
    register("tdpo2", Tdpo2)
