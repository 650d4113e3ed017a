"""Built-in shapings."""

from collections.abc import Callable
from typing import Any

from tgdpo_core import hookimpl
from tgdpo_plugins.shapings.constant import Constant
from tgdpo_plugins.shapings.linear import Linear


@hookimpl
def register_shapings(register: Callable[[str, Any], None]) -> None:
    """Register them."""
    register("linear", Linear)
    register("constant", Constant)
