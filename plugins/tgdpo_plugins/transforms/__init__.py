"""Built-in transforms of token rewards."""

from collections.abc import Callable
from typing import Any

from tgdpo_core import hookimpl
from tgdpo_plugins.transforms.clip import Clip
from tgdpo_plugins.transforms.rms import Rms
from tgdpo_plugins.transforms.scale import Scale


@hookimpl
def register_transforms(register: Callable[[str, Any], None]) -> None:
    """Register them."""
    register("scale", Scale)
    register("clip", Clip)
    register("rms", Rms)
