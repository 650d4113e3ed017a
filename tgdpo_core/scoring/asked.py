"""How much was asked of a reward whose calls overlap, and what that costs."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.rewards import Cost
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.scoring.sources import RewardSource


def cost_of(source: RewardSource) -> Cost | str:
    """Return what asking a source costs, as its plugin says.

    Raises:
        PluginError: it failed to say so, or said neither a ``Cost`` of numbers nor words.
    """
    found = call_plugin(str(source), "its cost", source.reward.cost)
    if isinstance(found, str):
        return found
    if not isinstance(found, Cost):
        raise PluginError(
            f"{source}: cost() (cost_note) is {found!r}, a {type(found).__name__}. Say a Cost, "
            "as in Cost(per_call=0.002), or words that are shown as they are."
        )
    for name in ("per_call", "per_1k_tokens"):
        money = getattr(found, name)
        if not isinstance(money, int | float) or not 0 <= money < math.inf:
            raise PluginError(
                f"{source}: {name} of its Cost is {money!r}; it must be a number, 0 or more."
            )
    return found


@dataclass
class Asked:
    """What a pass has asked so far.

    Attributes:
        calls: that were answered.
        responses: answers that were stored.
        tokens: of their prompts and responses.
        reused: responses whose answers were in the collection.
    """

    calls: int = 0
    responses: int = 0
    tokens: int = 0
    reused: int = 0

    def money(self, cost: Cost | str, share: float = 1.0) -> str:
        """Return what this has cost, in words; empty where nobody said what asking costs.

        Args:
            cost: of asking.
            share: which part of the whole work is done; below 1, what the whole will cost is added.
        """
        if isinstance(cost, str):
            return cost
        spent = cost.of(calls=self.calls, tokens=self.tokens)
        if not spent:
            return ""
        whole = f" of about {spent / share:.4g}" if 0 < share < 1 else ""
        return f"{spent:.4g}{whole} {cost.currency}"

    def added_to(self, before: Mapping[str, Any], cost: Cost | str) -> dict[str, Any]:
        """Return the numbers as JSON, added to those of earlier passes, and what all has cost."""
        counted = {name: before.get(name, 0) + value for name, value in asdict(self).items()}
        return {**counted, "cost": Asked(**counted).money(cost)}
