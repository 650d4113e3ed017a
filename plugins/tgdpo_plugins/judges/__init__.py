"""Built-in judges: likelihood, llm, reward-model."""

from collections.abc import Callable
from typing import Any

from tgdpo_core import hookimpl
from tgdpo_plugins.judges.likelihood import Likelihood
from tgdpo_plugins.judges.llm import LLMJudge
from tgdpo_plugins.judges.reward_model import RewardModelJudge


@hookimpl
def register_judges(register: Callable[[str, Any], None]) -> None:
    """Register them."""
    register("likelihood", Likelihood)
    register("llm", LLMJudge)
    register("reward-model", RewardModelJudge)
