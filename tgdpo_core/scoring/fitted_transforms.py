"""Transforms that are fitted on the training set before training: they need values that stay."""

from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.transforms import Transform
from tgdpo_core.scoring.origins import named
from tgdpo_core.scoring.sources import RewardSource


def is_fitted(transform: Transform) -> bool:
    """Return whether a transform has a ``fit`` of its own."""
    return type(transform).fit is not Transform.fit


def require_stored_where_fitted(source: RewardSource) -> None:
    """Refuse a transform that is fitted before training on rewards that change at every step.

    Raises:
        PluginError: a source that is dynamic has one.
    """
    for name, transform in source.transforms:
        if source.is_dynamic and is_fitted(transform):
            raise PluginError(
                f"{named('transform', name, transform)} is fitted on the training set before "
                f"training, but the rewards of {source} change at every step. Use transforms that "
                "look at one response (scale, clip, flip, smooth, ...), or an option of the source "
                "itself."
            )
