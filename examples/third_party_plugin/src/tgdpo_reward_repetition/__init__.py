"""Plugins against repetition: the token reward ``repetition`` and the transform ``soft-clip``."""

from tgdpo_core import hookimpl
from tgdpo_reward_repetition.repetition import Repetition
from tgdpo_reward_repetition.soft_clip import SoftClip

TGDPO_API = 1  # the version of the plugin interface that this is written for


@hookimpl
def register_token_rewards(register):
    """Register the token reward."""
    register("repetition", Repetition)


@hookimpl
def register_transforms(register):
    """Register the transform."""
    register("soft-clip", SoftClip)
