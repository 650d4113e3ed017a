"""Built-in transforms of token rewards: scales, bounds and means, and controls."""

from collections.abc import Callable
from typing import Any

from tgdpo_core import hookimpl
from tgdpo_plugins.transforms.center import Center
from tgdpo_plugins.transforms.class_mean import ClassMean
from tgdpo_plugins.transforms.clip import Clip
from tgdpo_plugins.transforms.flip import Flip
from tgdpo_plugins.transforms.gaussian import Gaussian
from tgdpo_plugins.transforms.permute import Permute
from tgdpo_plugins.transforms.rms import Rms
from tgdpo_plugins.transforms.roll import Roll
from tgdpo_plugins.transforms.scale import Scale
from tgdpo_plugins.transforms.sequence_mean import SequenceMean
from tgdpo_plugins.transforms.smooth import Smooth
from tgdpo_plugins.transforms.standardize import Standardize


@hookimpl
def register_transforms(register: Callable[[str, Any], None]) -> None:
    """Register them."""
    register("scale", Scale)
    register("clip", Clip)
    register("rms", Rms)
    register("center", Center)
    register("standardize", Standardize)
    register("sequence-mean", SequenceMean)
    register("class-mean", ClassMean)
    register("permute", Permute)
    register("gaussian", Gaussian)
    register("flip", Flip)
    register("roll", Roll)
    register("smooth", Smooth)
