"""Scored pairs: what training reads. Values are memory-mapped; weights are made on access."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tgdpo_core.data.pairs import TokenizedPair
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.scoring.checks import call_plugin
from tgdpo_core.scoring.context import FrozenModels, Precision
from tgdpo_core.scoring.fingerprints import canonical_hash, tokenizer_fingerprint
from tgdpo_core.scoring.passes import (
    Compute,
    PassCounts,
    fill,
    reference_logps,
    reward_entry,
    token_rewards,
)
from tgdpo_core.scoring.sources import RewardSource, source_document
from tgdpo_core.scoring.store import Collection
from tgdpo_core.scoring.weights import (
    StoredValues,
    WeightedSource,
    fit_source,
    split_sides,
    token_weights,
)


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
        trust_remote_code: whether code that a model repository brings may run.
    """

    store: Path
    device: torch.device
    precision: Precision
    trust_remote_code: bool = False


@dataclass(frozen=True)
class ScoredPair:
    """One pair as the collator gets it; vectors are [n] float32, chosen tokens first.

    Attributes:
        pair: ids and text.
        reference_logps: log pi_ref of the response tokens.
        token_rewards: r, the sum of all sources after their transforms.
        weights: f_w(r) on chosen tokens, f_l(r) on rejected ones.
    """

    pair: TokenizedPair
    reference_logps: torch.Tensor
    token_rewards: torch.Tensor
    weights: torch.Tensor


class ScoredPairs(Sequence[ScoredPair]):
    """A data set of scored pairs, indexable, for training and evaluation."""

    def __init__(
        self,
        pairs: Sequence[TokenizedPair],
        reference: StoredValues,
        sources: Sequence[tuple[WeightedSource, StoredValues]],
        shaping: tuple[str, Shaping],
    ) -> None:
        self.pairs = pairs
        self._reference = reference
        self._sources = sources
        self._shaping_name, self._shaping = shaping

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: Any) -> Any:
        """Return the scored pair of an index."""
        pair = self.pairs[index]
        zeros = torch.zeros(pair.num_response_tokens)
        chosen, rejected = split_sides(zeros, pair)
        for source, stored in self._sources:
            r_w, r_l = source.rewards(stored(pair), pair)
            chosen, rejected = chosen + r_w, rejected + r_l
        weights = token_weights(
            self._shaping, self._shaping_name, (chosen, rejected), pair.pair.where
        )
        return ScoredPair(
            pair=pair,
            reference_logps=self._reference(pair),
            token_rewards=torch.cat([chosen, rejected]),
            weights=torch.cat(weights),
        )

    def __iter__(self) -> Iterator[ScoredPair]:
        return (self[i] for i in range(len(self)))

    def transform_states(self) -> list[dict[str, Any]]:
        """Return what every transform learnt from the training set, for run.json."""
        return [
            {"source": fitted.source, "transform": fitted.name, "state": dict(fitted.state)}
            for source, _ in self._sources
            for fitted in source.transforms
        ]

    def summary(self) -> dict[str, float]:
        """Return statistics of token rewards and weights over all response tokens.

        Every pair is visited, so every transform and shaping is checked before training begins.
        """
        rewards, weights, chosen = [], [], []
        for scored in self:
            rewards.append(scored.token_rewards)
            weights.append(scored.weights)
            num_chosen = len(scored.pair.chosen.ids)
            chosen.append(torch.arange(len(scored.weights)) < num_chosen)
        r, f, is_chosen = (torch.cat(parts) for parts in (rewards, weights, chosen))
        values = {
            "token_reward/mean": r.mean(),
            "token_reward/std": r.std(correction=0),
            "token_reward/min": r.min(),
            "token_reward/max": r.max(),
            "weights/mean_chosen": f[is_chosen].mean(),
            "weights/mean_rejected": f[~is_chosen].mean(),
            "weights/negative_fraction": (f < 0).float().mean(),
        }
        return {"num_pairs": len(self), **{name: value.item() for name, value in values.items()}}


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
        """Return look-ups of stored values: reference log-probs, and each source's rewards.

        Whatever the store lacks is computed; every model loaded for it is freed again.
        """
        reference = self._reference_pass(pairs, label)
        rewards = [self._reward_pass(source, pairs, reference, label) for source in self.sources]
        return reference, rewards

    def _reference_pass(self, pairs: Sequence[TokenizedPair], label: str) -> StoredValues:
        collection = Collection(self.settings.store, self._reference_document())

        @functools.cache
        def logps() -> Compute:
            model = self.reference.load().to(self.settings.device)
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
        context = FrozenModels(
            self.tokenizer,
            device=self.settings.device,
            precision=self.settings.precision,
            trust_remote_code=self.settings.trust_remote_code,
            who=str(source),
            may_load=source.needs_models,
        )
        score = token_rewards(source, context, reference)

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
    reference, rewards = scorer.score(train)
    fitted = [
        fit_source(source, beta=beta, pairs=train, stored=stored)
        for source, stored in zip(scorer.sources, rewards, strict=True)
    ]
    scored = ScoredPairs(train, reference, list(zip(fitted, rewards, strict=True)), shaping)
    if not evaluation:
        return scored, None
    reference, rewards = scorer.score(evaluation, label="evaluation: ")
    return scored, ScoredPairs(
        evaluation, reference, list(zip(fitted, rewards, strict=True)), shaping
    )
