"""Built-in judges: likelihood, reward-model."""

from collections.abc import Callable
from typing import Any

from tgdpo_core import hookimpl
from tgdpo_plugins.judges.likelihood import Likelihood
from tgdpo_plugins.judges.reward_model import RewardModelJudge


@hookimpl
def register_judges(register: Callable[[str, Any], None]) -> None:
    """Register them."""
    register("likelihood", Likelihood)
    register("reward-model", RewardModelJudge)
