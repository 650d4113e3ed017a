"""Scored pairs by number: stored values are read, transforms and shaping applied, on access."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.scoring.distribution import by_token
from tgdpo_core.scoring.online import OnlineRewards
from tgdpo_core.scoring.origins import named
from tgdpo_core.scoring.pairs import ScoredPair
from tgdpo_core.scoring.scorer import Scorer
from tgdpo_core.scoring.settings import StoredScores
from tgdpo_core.scoring.weights import (
    WeightedSource,
    fit_source,
    split_sides,
    swapped_weights,
    token_weights,
)
from tgdpo_core.store.located import Located


class ScoredTable(Sequence[ScoredPair]):
    """A table of pairs with reference log-probs, token rewards and weights.

    Where there are dynamic sources, a pair shows their rewards and weights as they are for a policy
    that equals the reference, that is at the first step of most runs.

    Args:
        tokens: ids and text.
        reference: reference log-probs, by row.
        sources: those with stored values, and these by row.
        shaping: rewards to weights.
        online: the dynamic sources, or None.
        reference_values: what is stored of the reference's distribution, by quantity and row.
    """

    def __init__(
        self,
        tokens: TokenTable,
        reference: Located,
        sources: Sequence[tuple[WeightedSource, Located]],
        shaping: tuple[str, Shaping],
        online: OnlineRewards | None = None,
        reference_values: Mapping[str, Located] = MappingProxyType({}),
    ) -> None:
        self.tokens = tokens
        self.online = online
        self._reference = reference
        self._reference_values = reference_values
        self._sources = sources
        self._shaping = shaping

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, row: Any) -> Any:
        """Return the scored pair of a row."""
        stored = self.stored_part(row)
        if self.online:
            return self.online([stored])[0]
        rewards = split_sides(stored.token_rewards, stored.pair)
        name, shaping = self._shaping
        return dataclasses.replace(
            stored,
            weights=torch.cat(token_weights(shaping, name, rewards, stored.pair.pair.where)),
            swapped_weights=swapped_weights(shaping, rewards),
        )

    def __iter__(self) -> Iterator[ScoredPair]:
        return (self[row] for row in range(len(self)))

    def for_training(self) -> Sequence[ScoredPair]:
        """Return the pairs as the training loop takes them.

        Where there are dynamic sources, rewards are the stored part and weights are NaN: both wait
        for the policy's log-probs (``online``).
        """
        return StoredParts(self) if self.online else self

    def take(self, rows: Sequence[int]) -> "ScoredTable":
        """Return the table of some rows."""
        return ScoredTable(
            self.tokens.take(rows),
            self._reference.take(rows),
            [(source, stored.take(rows)) for source, stored in self._sources],
            self._shaping,
            self.online,
            {name: values.take(rows) for name, values in self._reference_values.items()},
        )

    def stored_part(self, row: int) -> ScoredPair:
        """Return the pair of a row with the sum of its stored rewards, weights NaN."""
        pair = self.tokens[row]
        total = torch.zeros(pair.num_response_tokens)
        for source, stored in self._sources:
            total = total + torch.cat(source.rewards(stored[row], pair))
        unknown = torch.full_like(total, torch.nan)
        values = {
            name: by_token(stored[row], pair.num_response_tokens)
            for name, stored in self._reference_values.items()
        }
        return ScoredPair(pair, self._reference[row], total, unknown, unknown, values)

    def by_source(self) -> list[tuple[str, Sequence[ScoredPair]]]:
        """Return the pairs with the rewards of every source alone (weight and transforms included).

        Their ``weights`` are NaN: f is a function of the sum.
        """
        parts: list[tuple[str, Sequence[ScoredPair]]] = []
        for source, stored in self._sources:
            alone = ScoredTable(self.tokens, self._reference, [(source, stored)], self._shaping)
            parts.append((source.source.name, StoredParts(alone)))
        for name, online in self.online.by_source() if self.online else ():
            alone = ScoredTable(
                self.tokens, self._reference, (), self._shaping, online, self._reference_values
            )
            parts.append((name, RewardsOnly(alone)))
        return parts

    def plugins(self) -> str:
        """Return how messages name what makes weights of rewards: transforms and shaping."""
        weighted = [source for source, _ in self._sources]
        weighted += self.online.weighted if self.online else []
        transforms = [str(each) for source in weighted for each in source.transforms]
        return ", ".join([*transforms, named("shaping", *self._shaping)])

    def transform_states(self) -> list[dict[str, Any]]:
        """Return what every transform learnt from the training set, for run.json."""
        return [
            {"source": fitted.source, "transform": fitted.name, "state": dict(fitted.state)}
            for source, _ in self._sources
            for fitted in source.transforms
        ]


class StoredParts(Sequence[ScoredPair]):
    """The pairs of a table without the rewards of its dynamic sources."""

    def __init__(self, scored: ScoredTable) -> None:
        self._scored = scored

    def __len__(self) -> int:
        return len(self._scored)

    def __getitem__(self, row: Any) -> Any:
        return self._scored.stored_part(row)


class RewardsOnly(StoredParts):
    """The pairs of a table with all rewards, as at the first step, and without weights."""

    def __getitem__(self, row: Any) -> Any:
        part: ScoredPair = super().__getitem__(row)
        online = self._scored.online
        assert online
        rewards = online.add_rewards([part])[0]
        return dataclasses.replace(part, token_rewards=rewards)


@dataclasses.dataclass(frozen=True)
class Scored:
    """Scored training pairs, and evaluation pairs by the name of their set."""

    train: ScoredTable
    evaluation: Mapping[str, ScoredTable]


def score(
    scorer: Scorer,
    train: TokenTable,
    evaluation: Mapping[str, TokenTable],
    *,
    shaping: tuple[str, Shaping],
    beta: float,
) -> Scored:
    """Return scored pairs; transforms are fitted on the training pairs.

    So are rewards, unless the scorer knows a larger training set that ``train`` is a part of.
    """
    scorer.training = scorer.training or train
    online = scorer.online(beta, shaping)
    stored = scorer.score(train)
    for source in scorer.dynamic:
        scorer.prepare(source)
    fitted = [
        fit_source(source, beta=beta, table=train, stored=values)
        for source, values in zip(scorer.stored, stored.rewards, strict=True)
    ]

    def scored(table: TokenTable, values: StoredScores) -> ScoredTable:
        sources = list(zip(fitted, values.rewards, strict=True))
        return ScoredTable(
            table, values.reference, sources, shaping, online, values.reference_values
        )

    return Scored(
        scored(train, stored),
        {
            name: scored(table, scorer.score(table, label=f"evaluation {name}".strip() + ": "))
            for name, table in evaluation.items()
        },
    )
