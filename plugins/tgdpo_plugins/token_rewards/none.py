"""No token reward."""

from collections.abc import Sequence

from tgdpo_core import Example, TokenReward


class NoReward(TokenReward):
    """Zero for every token: with the linear shaping this is plain DPO."""

    def score(self, batch: Sequence[Example]) -> list[list[float]]:
        """Return zeros."""
        return [[0.0] * len(example.response_ids) for example in batch]
