"""Dynamic reward sources: scored at every step from the log-probs of the policy as it is then."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from tgdpo_core.errors import CheckpointError
from tgdpo_core.plugin_api.rewards import Phase
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.scoring.distribution import Distribution, own_values
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.scoring.live_source import LiveSource
from tgdpo_core.scoring.metric_sums import Sums
from tgdpo_core.scoring.pairs import ScoredPair
from tgdpo_core.scoring.reward_state import read_states, write_states
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
        shaping: from the summed rewards to weights.
        distribution: what is known of the policy's whole distribution.
    """

    def __init__(
        self,
        sources: Sequence[LiveSource],
        shaping: tuple[str, Shaping],
        distribution: Distribution,
    ) -> None:
        self._sources = sources
        self._shaping = shaping
        self._distribution = distribution

    def __call__(
        self,
        scored: Sequence[ScoredPair],
        policy: PolicyValues | None = None,
        phase: Phase = "statistics",
    ) -> list[ScoredPair]:
        """Return the pairs with the rewards and weights of this moment.

        Args:
            scored: pairs whose ``token_rewards`` are the sum of their stored sources.
            policy: what is known of the policy; None: it equals the reference.
            phase: what for.
        """
        totals = self.add_rewards(scored, policy, phase)
        return [self._weighted(each, r) for each, r in zip(scored, totals, strict=True)]

    def add_rewards(
        self,
        scored: Sequence[ScoredPair],
        policy: PolicyValues | None = None,
        phase: Phase = "statistics",
    ) -> list[torch.Tensor]:
        """Return the token rewards of each pair, those of the dynamic sources added."""
        totals = [pair.token_rewards for pair in scored]
        pairs = [each.pair for each in scored]
        policy = self._at_start(scored) if policy is None else policy
        reference_logps = [each.reference_logps for each in scored]
        for source in self._sources:
            shared = {
                "policy_logps": policy["policy_logps"],
                "reference_logps": reference_logps,
                **own_values(source.weighted.source.reward, policy),
            }
            raw = source.ask(pairs, shared, phase)
            totals = [
                total + torch.cat(source.weighted.rewards(values, pair))
                for total, values, pair in zip(totals, raw, pairs, strict=True)
            ]
        return totals

    def by_source(self) -> list[tuple[str, "OnlineRewards"]]:
        """Return every source alone, with its name."""
        return [
            (
                each.weighted.source.name,
                OnlineRewards([each], self._shaping, self._distribution),
            )
            for each in self._sources
        ]

    @property
    def weighted(self) -> list[WeightedSource]:
        """The sources with their transforms."""
        return [source.weighted for source in self._sources]

    def end_step(self, step: int) -> None:
        """Tell the sources that learn that an optimizer step is done."""
        for source in self._sources:
            source.end_step(step)

    def save(self, folder: Path, rank: int) -> None:
        """Write what the sources of this process have learnt; nothing if none learns."""
        states = {name: source.state() for name, source in self._learning()}
        if states:
            who = " and ".join(str(source) for _, source in self._learning())
            call_plugin(who, "state_dict", write_states, folder, rank, states)

    def restore(self, folder: Path, rank: int) -> None:
        """Have the sources go on from what they had learnt at a checkpoint.

        Raises:
            CheckpointError: the checkpoint holds nothing of a source that learns, for this process.
        """
        states = read_states(folder, rank) or {}
        for name, source in self._learning():
            if name not in states:
                raise CheckpointError(
                    f"{folder} holds no state of {source} for process {rank}: its learning would "
                    "begin anew. Resume with as many processes as have saved it, or start again."
                )
            source.load(states[name])

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
        return {k: v for source in self._sources for k, v in source.pop_metrics().items()}

    def close(self) -> None:
        """Free what the sources loaded; a later call sets them up again, as they were."""
        for source in self._sources:
            source.close()

    def _learning(self) -> list[tuple[str, LiveSource]]:
        named = ((f"{i}:{s.weighted.source.name}", s) for i, s in enumerate(self._sources))
        return [(name, source) for name, source in named if source.is_stateful]

    def _weighted(self, scored: ScoredPair, rewards: torch.Tensor) -> ScoredPair:
        name, shaping = self._shaping
        sides = split_sides(rewards, scored.pair)
        return dataclasses.replace(
            scored,
            token_rewards=rewards,
            weights=torch.cat(token_weights(shaping, name, sides, scored.pair.pair.where)),
            swapped_weights=swapped_weights(shaping, sides),
        )
