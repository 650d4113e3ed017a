"""Built-in token rewards: see the names below."""

from collections.abc import Callable
from typing import Any

from tgdpo_core import hookimpl
from tgdpo_plugins.token_rewards.column import Column
from tgdpo_plugins.token_rewards.confidence import Confidence
from tgdpo_plugins.token_rewards.dense_prm import DensePRM
from tgdpo_plugins.token_rewards.induced import Induced
from tgdpo_plugins.token_rewards.lexicon import LexiconReward
from tgdpo_plugins.token_rewards.none import NoReward
from tgdpo_plugins.token_rewards.random import RandomReward
from tgdpo_plugins.token_rewards.remote import Remote
from tgdpo_plugins.token_rewards.rules import RulesReward


@hookimpl
def register_token_rewards(register: Callable[[str, Any], None]) -> None:
    """Register them."""
    register("none", NoReward)
    register("induced", Induced)
    register("dense-prm", DensePRM)
    register("random", RandomReward)
    register("column", Column)
    register("confidence", Confidence)
    register("remote", Remote)
    register("rules", RulesReward)
    register("lexicon", LexiconReward)
