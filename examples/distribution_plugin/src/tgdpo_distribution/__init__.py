"""Plugins that read the policy's whole next-token distribution."""

from collections.abc import Callable
from typing import Any

from tgdpo_core import hookimpl
from tgdpo_distribution.rewards import Entropy, SequentialKL
from tgdpo_distribution.total_variation import DpoTV

TGDPO_API = 1


@hookimpl
def register_token_rewards(register: Callable[[str, Any], None]) -> None:
    """Tell tgdpo the names."""
    register("entropy", Entropy)
    register("sequential-kl", SequentialKL)


@hookimpl
def register_losses(register: Callable[[str, Any], None]) -> None:
    """Tell tgdpo the name."""
    register("dpo-tv", DpoTV)
