"""Built-in judges: lexicon, likelihood, llm, reward-model, rules."""

from collections.abc import Callable
from typing import Any

from tgdpo_core import hookimpl
from tgdpo_plugins.judges.lexicon import Lexicon
from tgdpo_plugins.judges.likelihood import Likelihood
from tgdpo_plugins.judges.llm import LLMJudge
from tgdpo_plugins.judges.reward_model import RewardModelJudge
from tgdpo_plugins.judges.rules import Rules


@hookimpl
def register_judges(register: Callable[[str, Any], None]) -> None:
    """Register them."""
    register("likelihood", Likelihood)
    register("llm", LLMJudge)
    register("reward-model", RewardModelJudge)
    register("rules", Rules)
    register("lexicon", Lexicon)
