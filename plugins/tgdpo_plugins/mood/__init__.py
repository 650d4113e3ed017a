"""The world ``mood``: prompts, an exact judge and an exact token reward for a real language model.

Registered by ``tgdpo_plugins.playground``, the home of the worlds for trying things. Importing it
loads no VADER.
"""

from tgdpo_plugins.mood.judge import Mood
from tgdpo_plugins.mood.oracle import MoodOracle
from tgdpo_plugins.mood.prompts import MoodPrompts

__all__ = ["Mood", "MoodOracle", "MoodPrompts"]
