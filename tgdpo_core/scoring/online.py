"""Dynamic reward sources: scored at every step from the log-probs of the policy as it is then."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import torch

from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.scoring.context import FrozenModels
from tgdpo_core.scoring.distribution import Distribution, own_values
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.scoring.metric_sums import Sums
from tgdpo_core.scoring.pairs import ScoredPair
from tgdpo_core.scoring.passes import ask
from tgdpo_core.scoring.weights import (
    WeightedSource,
    split_sides,
    swapped_weights,
    token_weights,
)

PolicyValues = Mapping[str, Sequence[torch.Tensor]]
"""``policy_logps`` and whatever was asked of the distribution: [n] or [n, k] for each pair, on the
CPU, detached."""


class OnlineRewards:
    """Adds the rewards of dynamic sources to stored ones, and makes the weights anew.

    Args:
        sources: the dynamic sources.
        contexts: makes what a source's ``setup`` is given.
        shaping: from the summed rewards to weights.
        distribution: what is known of the policy's whole distribution.
    """

    def __init__(
        self,
        sources: Sequence[WeightedSource],
        contexts: Callable[[WeightedSource], FrozenModels],
        shaping: tuple[str, Shaping],
        distribution: Distribution,
    ) -> None:
        self._sources = sources
        self._make_context = contexts
        self._shaping = shaping
        self._distribution = distribution
        self._contexts: list[FrozenModels] = []

    def __call__(
        self, scored: Sequence[ScoredPair], policy: PolicyValues | None = None
    ) -> list[ScoredPair]:
        """Return the pairs with the rewards and weights of this moment.

        Args:
            scored: pairs whose ``token_rewards`` are the sum of their stored sources.
            policy: what is known of the policy; None: it equals the reference.
        """
        totals = self.add_rewards(scored, policy)
        return [self._weighted(each, r) for each, r in zip(scored, totals, strict=True)]

    def add_rewards(
        self, scored: Sequence[ScoredPair], policy: PolicyValues | None = None
    ) -> list[torch.Tensor]:
        """Return the token rewards of each pair, those of the dynamic sources added."""
        self._set_up()
        totals = [pair.token_rewards for pair in scored]
        pairs = [each.pair for each in scored]
        policy = self._at_start(scored) if policy is None else policy
        reference_logps = [each.reference_logps for each in scored]
        for source in self._sources:
            shared = {
                "policy_logps": policy["policy_logps"],
                "reference_logps": reference_logps,
                **own_values(source.source.reward, policy),
            }
            raw = ask(source.source, pairs, shared)
            totals = [
                total + torch.cat(source.rewards(values, pair))
                for total, values, pair in zip(totals, raw, pairs, strict=True)
            ]
        return totals

    def by_source(self) -> list[tuple[str, "OnlineRewards"]]:
        """Return every source alone, with its name."""
        parts = (
            (
                each.source.name,
                OnlineRewards([each], self._make_context, self._shaping, self._distribution),
            )
            for each in self._sources
        )
        return list(parts)

    def _at_start(self, scored: Sequence[ScoredPair]) -> PolicyValues:
        """Return what a policy that equals the reference would be."""
        each = [
            self._distribution.at_start(pair.reference_values, pair.pair.num_response_tokens)
            for pair in scored
        ]
        values = {name: [of_pair[name] for of_pair in each] for name in each[0]}
        return {"policy_logps": [pair.reference_logps for pair in scored], **values}

    def pop_metrics(self) -> Sums:
        """Return what the sources have logged since the last call."""
        found: Sums = {}
        for source, context in zip(self._sources, self._contexts, strict=False):
            found |= context.metrics.pop(source.source.name)
        return found

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
