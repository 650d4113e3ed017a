"""Dynamic reward sources: scored at every step from the log-probs of the policy as it is then."""

import dataclasses
from collections.abc import Callable, Sequence

import torch

from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.scoring.context import FrozenModels
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.scoring.pairs import ScoredPair
from tgdpo_core.scoring.passes import ask
from tgdpo_core.scoring.weights import (
    WeightedSource,
    split_sides,
    swapped_weights,
    token_weights,
)


class OnlineRewards:
    """Adds the rewards of dynamic sources to stored ones, and makes the weights anew.

    Args:
        sources: the dynamic sources.
        contexts: makes what a source's ``setup`` is given.
        shaping: from the summed rewards to weights.
    """

    def __init__(
        self,
        sources: Sequence[WeightedSource],
        contexts: Callable[[WeightedSource], FrozenModels],
        shaping: tuple[str, Shaping],
    ) -> None:
        self._sources = sources
        self._make_context = contexts
        self._shaping = shaping
        self._contexts: list[FrozenModels] = []

    def __call__(
        self, scored: Sequence[ScoredPair], policy_logps: Sequence[torch.Tensor]
    ) -> list[ScoredPair]:
        """Return the pairs with the rewards and weights of this moment.

        Args:
            scored: pairs whose ``token_rewards`` are the sum of their stored sources.
            policy_logps: log pi of each pair's response tokens, [n] float32 on the CPU, detached.
        """
        totals = self.add_rewards(scored, policy_logps)
        return [self._weighted(each, r) for each, r in zip(scored, totals, strict=True)]

    def add_rewards(
        self, scored: Sequence[ScoredPair], policy_logps: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """Return the token rewards of each pair, those of the dynamic sources added."""
        self._set_up()
        totals = [pair.token_rewards for pair in scored]
        pairs = [each.pair for each in scored]
        shared = {
            "policy_logps": policy_logps,
            "reference_logps": [each.reference_logps for each in scored],
        }
        for source in self._sources:
            raw = ask(source.source, pairs, shared)
            totals = [
                total + torch.cat(source.rewards(values, pair))
                for total, values, pair in zip(totals, raw, pairs, strict=True)
            ]
        return totals

    def by_source(self) -> list[tuple[str, "OnlineRewards"]]:
        """Return every source alone, with its name."""
        parts = (
            (each.source.name, OnlineRewards([each], self._make_context, self._shaping))
            for each in self._sources
        )
        return list(parts)

    def close(self) -> None:
        """Free what the sources loaded; a later call sets them up again."""
        if not self._contexts:
            return
        for source, context in zip(self._sources, self._contexts, strict=True):
            call_plugin(str(source.source), "teardown", source.source.reward.teardown)
            context.release()
        self._contexts = []

    def _set_up(self) -> None:
        if self._contexts:
            return
        self._contexts = [self._make_context(source) for source in self._sources]
        for source, context in zip(self._sources, self._contexts, strict=True):
            call_plugin(str(source.source), "setup", source.source.reward.setup, context)

    def _weighted(self, scored: ScoredPair, rewards: torch.Tensor) -> ScoredPair:
        name, shaping = self._shaping
        sides = split_sides(rewards, scored.pair)
        return dataclasses.replace(
            scored,
            token_rewards=rewards,
            weights=torch.cat(token_weights(shaping, name, sides, scored.pair.pair.where)),
            swapped_weights=swapped_weights(shaping, sides),
        )
