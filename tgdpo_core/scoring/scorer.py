"""The scoring pass: reference log-probs and token rewards of a table of pairs, from the store."""

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.engine.distribution import ReferenceHead
from tgdpo_core.engine.head import reference_head
from tgdpo_core.models.fingerprints import tokenizer_fingerprint
from tgdpo_core.models.loading import on_device
from tgdpo_core.plugin_api.losses import Loss
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.scoring.context import FrozenModels
from tgdpo_core.scoring.distribution import Distribution, distribution_of
from tgdpo_core.scoring.filling import Compute, Elsewhere, Pass, fill
from tgdpo_core.scoring.fits import require_known_ids
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.scoring.metric_sums import means
from tgdpo_core.scoring.online import OnlineRewards
from tgdpo_core.scoring.passes import (
    TokenRewards,
    reference_logps,
    reference_quantity,
    reward_entries,
)
from tgdpo_core.scoring.records import PassCounts as PassCounts
from tgdpo_core.scoring.records import Reference as Reference
from tgdpo_core.scoring.records import ScoringSettings as ScoringSettings
from tgdpo_core.scoring.records import StoredScores as StoredScores
from tgdpo_core.scoring.sources import RewardSource, source_document
from tgdpo_core.scoring.weights import fit_source
from tgdpo_core.store.adoption import made_by_other_code
from tgdpo_core.store.collection import Collection
from tgdpo_core.store.folder import FORMAT, canonical_hash
from tgdpo_core.store.located import Located

logger = logging.getLogger(__name__)


@dataclass
class Scorer:
    """Fills the store for several tables with one set of models and plugins.

    Attributes:
        reference: the reference model.
        sources: the reward sources, in the order they are summed.
        tokenizer: the policy's.
        settings: where and how.
        loss: the loss of the run with its name, where one is trained.
        counts: pass name to pairs computed and reused, over all tables so far.
        keys: pass name to store key.
        metrics: what stored sources have logged while they were computed, by name.
    """

    reference: Reference
    sources: Sequence[RewardSource]
    tokenizer: Any
    settings: ScoringSettings
    loss: tuple[str, Loss] | None = None
    counts: dict[str, PassCounts] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)

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
            **({"metrics": self.metrics} if self.metrics else {}),
        }

    def score(
        self, table: TokenTable, *, label: str = "", elsewhere: Elsewhere | None = None
    ) -> StoredScores:
        """Return where the reference log-probs and each stored source's rewards lie.

        Whatever the store lacks is computed; every model loaded for it is freed again.

        Args:
            table: the pairs.
            label: what progress bars say before the name of a pass.
            elsewhere: other processes that compute, or None: this one does.
        """
        for source in self.stored:  # what it names must be found before anything is computed
            self._reward_document(source)
        first = 1 + len(self.stored)
        quantities = self.distribution.stored
        # What stored sources read is there before they are asked.
        order = [0, *range(first, first + len(quantities)), *range(1, first)]
        filled = {n: self._filled(self.task(table, n), label, elsewhere) for n in order}
        return StoredScores(
            filled[0],
            [filled[number] for number in range(1, first)],
            {name: filled[first + i] for i, name in enumerate(quantities)},
        )

    def reference_logps(self, table: TokenTable, *, label: str = "") -> Located:
        """Return the reference log-probs of a table alone; what the store lacks is computed."""
        return self._filled(self.task(table, 0), label, None)

    def rewards(self, source: RewardSource, table: TokenTable, *, label: str = "") -> Located:
        """Return the rewards of one source alone; what the store lacks is computed.

        Args:
            source: one of ``stored``. If it needs the reference's log-probs, ``reference_logps`` of
                the table must have been asked for.
            table: what is scored.
            label: what the progress bar says first.
        """
        number = 1 + next(i for i, each in enumerate(self.stored) if each is source)
        return self._filled(self.task(table, number), label, None)

    def task(self, table: TokenTable, number: int) -> Pass:
        """Return a pass over a table: 0 is the reference, which the others may read.

        Args:
            table: the pairs.
            number: see ``Pass``.
        """
        if number == 0:
            return self._reference_pass(table)
        if number > len(self.stored):
            return self._quantity_pass(number, table)
        self._references.refresh()
        return self._reward_pass(number, table, self._references.locate(table.ids_hashes))

    @functools.cached_property
    def distribution(self) -> Distribution:
        """What the plugins ask of whole next-token distributions."""

        @functools.cache
        def head() -> ReferenceHead:
            return reference_head(on_device(self.reference.load(), self.settings.device))

        return distribution_of(self.sources, self.loss, head)

    @functools.cached_property
    def _references(self) -> Collection:
        return Collection(self.settings.store, self._reference_document())

    def _filled(self, task: Pass, label: str, elsewhere: Elsewhere | None) -> Located:
        try:
            filled = fill(task, label=label, elsewhere=elsewhere)
        finally:
            task.close()
        before = self.counts.get(task.name, PassCounts(0, 0))
        self.counts[task.name] = PassCounts(
            before.computed + filled.computed, before.reused + filled.reused
        )
        self.keys[task.name] = task.collection.key
        return filled.values

    @property
    def stored(self) -> list[RewardSource]:
        """The sources whose rewards are stored."""
        return [source for source in self.sources if not source.is_dynamic]

    def online(self, beta: float, shaping: tuple[str, Shaping]) -> OnlineRewards | None:
        """Return the dynamic sources at the run's beta; None if there are none."""
        dynamic = [source for source in self.sources if source.is_dynamic]
        if not dynamic:
            return None
        weighted = [fit_source(source, beta=beta, table=None, stored=None) for source in dynamic]
        return OnlineRewards(
            weighted, lambda each: self._context(each.source), shaping, self.distribution
        )

    def _reference_pass(self, table: TokenTable) -> Pass:
        @functools.cache
        def logps() -> Compute:
            model = on_device(self.reference.load(), self.settings.device)
            require_known_ids(model, table, self.tokenizer, who="the reference")
            return reference_logps(model, table, self.settings.precision)

        return Pass(
            number=0,
            name="reference_logps",
            label="reference log-probs",
            collection=self._references,
            table=table,
            entries=table.ids_hashes,
            compute=lambda rows: logps()(rows),
            close=logps.cache_clear,
        )

    def _quantity_pass(self, number: int, table: TokenTable) -> Pass:
        name = self.distribution.stored[number - 1 - len(self.stored)]

        @functools.cache
        def values() -> Compute:
            model = on_device(self.reference.load(), self.settings.device)
            require_known_ids(model, table, self.tokenizer, who="the reference")
            return reference_quantity(name, model, table, self.settings.precision)

        return Pass(
            number=number,
            name=f"reference_values:{name}",
            label=f"reference's {name}",
            collection=self._quantities(name),
            table=table,
            entries=table.ids_hashes,
            compute=lambda rows: values()(rows),
            close=values.cache_clear,
            width=self.distribution.width(name),
        )

    def _quantities(self, name: str) -> Collection:
        document = {**self._reference_document(), "kind": "distribution", "quantity": name}
        return Collection(self.settings.store, document)

    def _reward_pass(self, number: int, table: TokenTable, reference: Located) -> Pass:
        source = self.stored[number - 1]
        context = self._context(source)
        named = [need.replace("reference_", "policy_", 1) for need in source.reference_values]
        quantities = {name: self._quantities(name).locate(table.ids_hashes) for name in named}
        collection = Collection(self.settings.store, self._reward_document(source))
        if not len(collection):
            self._say_what_changed(source, collection.key)
        score = TokenRewards(source, table, reference, quantities, collection)

        @functools.cache
        def set_up() -> None:
            call_plugin(str(source), "setup", source.reward.setup, context)

        def compute(rows: Sequence[int]) -> Sequence[torch.Tensor]:
            set_up()
            return score(rows)

        def close() -> None:
            call_plugin(str(source), "teardown", source.reward.teardown)
            self.metrics |= means([context.metrics.pop(source.name)])
            context.release()

        return Pass(
            number=number,
            name=f"token_reward:{source.name}",
            label=f"{source.name} rewards",
            collection=collection,
            table=table,
            entries=reward_entries(source, table),
            compute=compute,
            close=close,
            finish=score.finish,
        )

    def _say_what_changed(self, source: RewardSource, key: str) -> None:
        """Say that values of other code are there, and how to keep them."""
        document = {"format": FORMAT, **self._reward_document(source)}
        found = made_by_other_code(self.settings.store, document)
        if found:
            info, changed = found
            logger.warning(
                "%s: its code is not that which stored the values of %d pairs before "
                "(changed: %s); it scores anew. If its values are still the same, keep the old "
                "ones: tgdpo store adopt %s %s",
                source,
                info.num_entries,
                ", ".join(changed),
                info.key,
                key,
            )

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
            "precision": (self.reference.precision or self.settings.precision).document(),
        }

    def _reward_document(self, source: RewardSource) -> dict[str, Any]:
        document = call_plugin(str(source), "its fingerprint", source_document, source)
        call_plugin(str(source), "its fingerprint", canonical_hash, document)  # JSON or an error
        document["tokenizer"] = tokenizer_fingerprint(self.tokenizer)
        if source.needs_models:
            document["precision"] = self.settings.precision.document()
        if source.needs_reference or source.reference_values:
            document["reference"] = self._reference_document()
        return document
