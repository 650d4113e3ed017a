"""How much was asked of a reward whose calls overlap, and what that costs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tgdpo_core.plugin_api.rewards import Cost


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
