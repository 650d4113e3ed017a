"""Scored pairs: what training reads. Values are memory-mapped; weights are made on access."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tgdpo_core.data.pairs import TokenizedPair
from tgdpo_core.models.checks import require_ids
from tgdpo_core.models.fingerprints import tokenizer_fingerprint
from tgdpo_core.models.loading import NO_TRUST, Trust
from tgdpo_core.models.precision import Precision
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.scoring.context import FrozenModels
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.scoring.online import OnlineRewards
from tgdpo_core.scoring.pairs import ScoredPair, highest_ids
from tgdpo_core.scoring.passes import (
    Compute,
    PassCounts,
    fill,
    reference_logps,
    reward_entry,
    token_rewards,
)
from tgdpo_core.scoring.sources import RewardSource, source_document
from tgdpo_core.scoring.weights import (
    StoredValues,
    WeightedSource,
    fit_source,
    split_sides,
    swapped_weights,
    token_weights,
)
from tgdpo_core.store.collection import Collection
from tgdpo_core.store.folder import canonical_hash


@dataclass(frozen=True)
class Reference:
    """The reference model, loaded only if the store lacks some of its values.

    Attributes:
        identity: JSON that names its weights.
        load: returns the model.
    """

    identity: Mapping[str, Any]
    load: Callable[[], Any]


@dataclass(frozen=True)
class ScoringSettings:
    """Where and how the scoring pass runs.

    Attributes:
        store: folder of the store.
        device: of frozen models.
        precision: their number formats.
        trust: what files of models may do.
    """

    store: Path
    device: torch.device
    precision: Precision
    trust: Trust = NO_TRUST


class ScoredPairs(Sequence[ScoredPair]):
    """A data set of scored pairs, indexable, for training and evaluation.

    Where there are dynamic sources, a pair shows their rewards and weights as they are for a policy
    that equals the reference, that is at the first step of most runs.

    Args:
        pairs: ids and text.
        reference: look-up of reference log-probs.
        sources: those with stored values, and the look-ups of these.
        shaping: rewards to weights.
        online: the dynamic sources, or None.
    """

    def __init__(
        self,
        pairs: Sequence[TokenizedPair],
        reference: StoredValues,
        sources: Sequence[tuple[WeightedSource, StoredValues]],
        shaping: tuple[str, Shaping],
        online: OnlineRewards | None = None,
    ) -> None:
        self.pairs = pairs
        self.online = online
        self._reference = reference
        self._sources = sources
        self._shaping = shaping

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: Any) -> Any:
        """Return the scored pair of an index."""
        pair = self.pairs[index]
        if self.online:
            stored = self._stored_part(pair)
            return self.online([stored], [stored.reference_logps])[0]
        rewards = split_sides(self._stored_rewards(pair), pair)
        name, shaping = self._shaping
        weights = token_weights(shaping, name, rewards, pair.pair.where)
        return ScoredPair(
            pair=pair,
            reference_logps=self._reference(pair),
            token_rewards=torch.cat(rewards),
            weights=torch.cat(weights),
            swapped_weights=swapped_weights(shaping, rewards),
        )

    def for_training(self) -> Sequence[ScoredPair]:
        """Return the pairs as the training loop takes them.

        Where there are dynamic sources, rewards are the stored part and weights are NaN: both wait
        for the policy's log-probs (``online``).
        """
        return _StoredParts(self) if self.online else self

    def part(self, pairs: Sequence[TokenizedPair]) -> "ScoredPairs":
        """Return some of the pairs as a data set of their own."""
        return ScoredPairs(pairs, self._reference, self._sources, self._shaping, self.online)

    def _stored_part(self, pair: TokenizedPair) -> ScoredPair:
        rewards = self._stored_rewards(pair)
        unknown = torch.full_like(rewards, torch.nan)
        return ScoredPair(pair, self._reference(pair), rewards, unknown, unknown)

    def _stored_rewards(self, pair: TokenizedPair) -> torch.Tensor:
        """Return the sum of the sources with stored values, transformed."""
        total = torch.zeros(pair.num_response_tokens)
        for source, stored in self._sources:
            total = total + torch.cat(source.rewards(stored(pair), pair))
        return total

    def __iter__(self) -> Iterator[ScoredPair]:
        return (self[i] for i in range(len(self)))

    def by_source(self) -> list[tuple[str, Sequence[ScoredPair]]]:
        """Return the pairs with the rewards of every source alone (weight and transforms included).

        Their ``weights`` are NaN: f is a function of the sum.
        """
        parts: list[tuple[str, Sequence[ScoredPair]]] = []
        for source, stored in self._sources:
            alone = ScoredPairs(self.pairs, self._reference, [(source, stored)], self._shaping)
            parts.append((source.source.name, _RewardsOnly(alone)))
        for name, online in self.online.by_source() if self.online else ():
            alone = ScoredPairs(self.pairs, self._reference, (), self._shaping, online)
            parts.append((name, _RewardsOnly(alone)))
        return parts

    def transform_states(self) -> list[dict[str, Any]]:
        """Return what every transform learnt from the training set, for run.json."""
        return [
            {"source": fitted.source, "transform": fitted.name, "state": dict(fitted.state)}
            for source, _ in self._sources
            for fitted in source.transforms
        ]


class _StoredParts(Sequence[ScoredPair]):
    """The pairs of a data set without the rewards of its dynamic sources."""

    def __init__(self, scored: ScoredPairs) -> None:
        self._scored = scored

    def __len__(self) -> int:
        return len(self._scored)

    def __getitem__(self, index: Any) -> Any:
        return self._scored._stored_part(self._scored.pairs[index])


class _RewardsOnly(_StoredParts):
    """The pairs of a data set with all rewards, as at the first step, and without weights."""

    def __getitem__(self, index: Any) -> Any:
        part: ScoredPair = super().__getitem__(index)
        online = self._scored.online
        if not online:
            return part
        rewards = online.add_rewards([part], [part.reference_logps])[0]
        return dataclasses.replace(part, token_rewards=rewards)


@dataclass
class Scorer:
    """Fills the store for several data sets with one set of models and plugins.

    Attributes:
        reference: the reference model.
        sources: the reward sources, in the order they are summed.
        tokenizer: the policy's.
        settings: where and how.
        counts: pass name to pairs computed and reused, over all data sets so far.
        keys: pass name to store key.
    """

    reference: Reference
    sources: Sequence[RewardSource]
    tokenizer: Any
    settings: ScoringSettings
    counts: dict[str, PassCounts] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def totals(self) -> dict[str, Any]:
        """Return pairs computed and reused, in all and by pass, with the store's keys."""
        passes = {
            name: {"computed": c.computed, "reused": c.reused, "key": self.keys[name]}
            for name, c in self.counts.items()
        }
        return {
            "computed": sum(c.computed for c in self.counts.values()),
            "reused": sum(c.reused for c in self.counts.values()),
            "passes": passes,
        }

    def score(
        self, pairs: Sequence[TokenizedPair], *, label: str = ""
    ) -> tuple[StoredValues, list[StoredValues]]:
        """Return look-ups of stored values: reference log-probs, and each stored source's rewards.

        Whatever the store lacks is computed; every model loaded for it is freed again.
        """
        for source in self.stored:  # what it names must be found before anything is computed
            self._reward_document(source)
        reference = self._reference_pass(pairs, label)
        rewards = [self._reward_pass(source, pairs, reference, label) for source in self.stored]
        return reference, rewards

    @property
    def stored(self) -> list[RewardSource]:
        """The sources whose rewards are stored."""
        return [source for source in self.sources if not source.is_dynamic]

    def online(self, beta: float, shaping: tuple[str, Shaping]) -> OnlineRewards | None:
        """Return the dynamic sources at the run's beta; None if there are none."""
        dynamic = [source for source in self.sources if source.is_dynamic]
        if not dynamic:
            return None
        weighted = [fit_source(source, beta=beta, pairs=(), stored=None) for source in dynamic]
        return OnlineRewards(weighted, lambda each: self._context(each.source), shaping)

    def _reference_pass(self, pairs: Sequence[TokenizedPair], label: str) -> StoredValues:
        collection = Collection(self.settings.store, self._reference_document())

        @functools.cache
        def logps() -> Compute:
            model = self.reference.load().to(self.settings.device)
            require_ids(model, highest_ids(pairs), self.tokenizer, who="the reference")
            return reference_logps(model, self.settings.precision)

        entries = [pair.ids_hash() for pair in pairs]
        self._note(
            "reference_logps",
            collection,
            fill(
                collection,
                pairs,
                entries,
                lambda batch: logps()(batch),
                label=f"{label}reference log-probs",
            ),
        )
        return lambda pair: collection[pair.ids_hash()]

    def _reward_pass(
        self,
        source: RewardSource,
        pairs: Sequence[TokenizedPair],
        reference: StoredValues,
        label: str,
    ) -> StoredValues:
        collection = Collection(self.settings.store, self._reward_document(source))
        context = self._context(source)
        score = token_rewards(source, reference)

        @functools.cache
        def set_up() -> None:
            call_plugin(str(source), "setup", source.reward.setup, context)

        def compute(batch: Sequence[TokenizedPair]) -> Sequence[torch.Tensor]:
            set_up()
            return score(batch)

        entries = [reward_entry(source, pair) for pair in pairs]
        try:
            counts = fill(
                collection, pairs, entries, compute, label=f"{label}{source.name} rewards"
            )
        finally:
            call_plugin(str(source), "teardown", source.reward.teardown)
            context.release()
        self._note(f"token_reward:{source.name}", collection, counts)
        return lambda pair: collection[reward_entry(source, pair)]

    def _context(self, source: RewardSource) -> FrozenModels:
        return FrozenModels(
            self.tokenizer,
            device=self.settings.device,
            precision=self.settings.precision,
            trust=self.settings.trust,
            who=str(source),
            may_load=source.needs_models,
        )

    def _reference_document(self) -> dict[str, Any]:
        return {
            "kind": "logps",
            "model": dict(self.reference.identity),
            "precision": self.settings.precision.document(),
        }

    def _reward_document(self, source: RewardSource) -> dict[str, Any]:
        document = call_plugin(str(source), "its fingerprint", source_document, source)
        call_plugin(str(source), "its fingerprint", canonical_hash, document)  # JSON or an error
        document["tokenizer"] = tokenizer_fingerprint(self.tokenizer)
        if source.needs_models:
            document["precision"] = self.settings.precision.document()
        if source.needs_reference:
            document["reference"] = self._reference_document()
        return document

    def _note(self, name: str, collection: Collection, counts: PassCounts) -> None:
        before = self.counts.get(name, PassCounts(0, 0))
        self.counts[name] = PassCounts(
            before.computed + counts.computed, before.reused + counts.reused
        )
        self.keys[name] = collection.key


def scored_datasets(
    scorer: Scorer,
    train: Sequence[TokenizedPair],
    evaluation: Sequence[TokenizedPair] | None,
    *,
    shaping: tuple[str, Shaping],
    beta: float,
) -> tuple[ScoredPairs, ScoredPairs | None]:
    """Return scored training and evaluation pairs; transforms are fitted on the training pairs."""
    online = scorer.online(beta, shaping)
    reference, rewards = scorer.score(train)
    fitted = [
        fit_source(source, beta=beta, pairs=train, stored=stored)
        for source, stored in zip(scorer.stored, rewards, strict=True)
    ]
    sources = list(zip(fitted, rewards, strict=True))
    scored = ScoredPairs(train, reference, sources, shaping, online)
    if not evaluation:
        return scored, None
    reference, rewards = scorer.score(evaluation, label="evaluation: ")
    sources = list(zip(fitted, rewards, strict=True))
    return scored, ScoredPairs(evaluation, reference, sources, shaping, online)
