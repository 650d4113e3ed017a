"""Dynamic reward sources: scored at every step from the log-probs of the policy as it is then."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch

from tgdpo_core.errors import CheckpointError
from tgdpo_core.plugin_api.rewards import Phase
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.scoring.live_source import LiveSource
from tgdpo_core.scoring.pairs import ScoredPair
from tgdpo_core.scoring.reward_state import read_states, write_states
from tgdpo_core.scoring.weights import split_sides, swapped_weights, token_weights


class OnlineRewards:
    """Adds the rewards of dynamic sources to stored ones, and makes the weights anew.

    Args:
        sources: the dynamic sources.
        shaping: from the summed rewards to weights.
    """

    def __init__(self, sources: Sequence[LiveSource], shaping: tuple[str, Shaping]) -> None:
        self._sources = sources
        self._shaping = shaping

    def __call__(
        self,
        scored: Sequence[ScoredPair],
        policy_logps: Sequence[torch.Tensor],
        phase: Phase = "statistics",
    ) -> list[ScoredPair]:
        """Return the pairs with the rewards and weights of this moment.

        Args:
            scored: pairs whose ``token_rewards`` are the sum of their stored sources.
            policy_logps: log pi of each pair's response tokens, [n] float32 on the CPU, detached.
            phase: what for.
        """
        totals = self.add_rewards(scored, policy_logps, phase)
        return [self._weighted(each, r) for each, r in zip(scored, totals, strict=True)]

    def add_rewards(
        self,
        scored: Sequence[ScoredPair],
        policy_logps: Sequence[torch.Tensor],
        phase: Phase = "statistics",
    ) -> list[torch.Tensor]:
        """Return the token rewards of each pair, those of the dynamic sources added."""
        totals = [pair.token_rewards for pair in scored]
        pairs = [each.pair for each in scored]
        shared = {
            "policy_logps": policy_logps,
            "reference_logps": [each.reference_logps for each in scored],
        }
        for source in self._sources:
            raw = source.ask(pairs, shared, phase)
            totals = [
                total + torch.cat(source.weighted.rewards(values, pair))
                for total, values, pair in zip(totals, raw, pairs, strict=True)
            ]
        return totals

    def by_source(self) -> list[tuple[str, "OnlineRewards"]]:
        """Return every source alone, with its name."""
        return [
            (each.weighted.source.name, OnlineRewards([each], self._shaping))
            for each in self._sources
        ]

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
