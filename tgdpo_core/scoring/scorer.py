"""The scoring pass: reference log-probs and token rewards of a table of pairs, from the store."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.errors import PluginError
from tgdpo_core.models.fingerprints import tokenizer_fingerprint
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.scoring.answers import Answers
from tgdpo_core.scoring.calls import way_of
from tgdpo_core.scoring.changed_code import say_what_changed
from tgdpo_core.scoring.context import FrozenModels
from tgdpo_core.scoring.filling import Elsewhere, Pass, fill
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.scoring.live_source import LiveSource
from tgdpo_core.scoring.main_first import by_main_first
from tgdpo_core.scoring.metric_sums import means
from tgdpo_core.scoring.online import OnlineRewards
from tgdpo_core.scoring.passes import reward_entries
from tgdpo_core.scoring.preparing import prepare, training_examples, training_hash
from tgdpo_core.scoring.reference_scorer import ReferenceScorer
from tgdpo_core.scoring.rounding import Rounding, kept_rounding
from tgdpo_core.scoring.settings import PassCounts, StoredScores
from tgdpo_core.scoring.source_document import source_document
from tgdpo_core.scoring.sources import RewardSource
from tgdpo_core.scoring.token_rewards import TokenRewards
from tgdpo_core.scoring.weights import fit_source
from tgdpo_core.store.collection import Collection
from tgdpo_core.store.folder import canonical_hash, with_format
from tgdpo_core.store.located import Located
from tgdpo_core.store.tables import cached_table


@dataclass
class Scorer(ReferenceScorer):
    """Fills the store for several tables with one set of models and plugins.

    Attributes:
        reference: the reference model.
        sources: the reward sources, in the order they are summed.
        tokenizer: the policy's.
        settings: where and how.
        loss: the loss of the run with its name, where one is trained.
        training: the training set, for rewards that are fitted to it; None without one.
        counts: pass name to pairs computed and reused, over all tables so far.
        keys: pass name to store key.
        metrics: what stored sources have logged while they were computed, by name.
    """

    training: TokenTable | None = None
    counts: dict[str, PassCounts] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    _hashes: dict[int, str] = field(default_factory=dict, init=False)

    def totals(self) -> dict[str, Any]:
        """Return pairs computed and reused, in all and by pass, with the store's keys."""
        passes = {
            name: {
                "computed": c.computed,
                "reused": c.reused,
                "key": self.keys[name],
                **({"asked": dict(c.asked)} if c.asked else {}),
            }
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
        self._require_secrets(table)
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

    def _filled(self, task: Pass, label: str, elsewhere: Elsewhere | None) -> Located:
        try:
            filled = fill(task, label=label, elsewhere=elsewhere)
        finally:
            task.close()
        before = self.counts.get(task.name, PassCounts(0, 0))
        self.counts[task.name] = PassCounts(
            before.computed + filled.computed,
            before.reused + filled.reused,
            task.answers.asked.added_to(before.asked, task.answers.cost) if task.answers else {},
        )
        self.keys[task.name] = task.collection.key
        return filled.values

    def rounding(self, source: RewardSource) -> Rounding | None:
        """Return how far rounding moves the values of a stored source; None where not measured."""
        key = canonical_hash(with_format(self._reward_document(source)))
        return kept_rounding(self.settings.store / key)

    @property
    def dynamic(self) -> list[RewardSource]:
        """The sources that are scored at every step."""
        return [source for source in self.sources if source.is_dynamic]

    def online(self, beta: float, shaping: tuple[str, Shaping]) -> OnlineRewards | None:
        """Return the dynamic sources at the run's beta; None if there are none."""
        if not self.dynamic:
            return None
        weighted = [
            fit_source(source, beta=beta, table=None, stored=None) for source in self.dynamic
        ]
        live = [LiveSource(each, lambda one: self._context(one.source)) for each in weighted]
        return OnlineRewards(live, shaping, self.distribution)

    def _require_secrets(self, table: TokenTable) -> None:
        """Raise ``PluginError`` for a secret that is not set, unless nothing has to be asked."""
        for source in self.sources:
            missing = source.reward.missing_secrets()
            if missing and (source.is_dynamic or not self._is_complete(source, table)):
                raise PluginError(
                    f"{source} needs {' and '.join(missing)}. Set it and start again."
                )

    def _is_complete(self, source: RewardSource, table: TokenTable) -> bool:
        collection = Collection(self.settings.store, self._reward_document(source))
        stored = collection.verified(reward_entries(source, table), table.counts.responses.tolist())
        return bool(stored.all())

    def _reward_pass(self, number: int, table: TokenTable, reference: Located) -> Pass:
        source = self.stored[number - 1]
        named = [need.replace("reference_", "policy_", 1) for need in source.reference_values]
        quantities = {name: self._quantities(name).locate(table.ids_hashes) for name in named}
        collection = Collection(self.settings.store, self._reward_document(source))
        if not len(collection):
            document = with_format(self._reward_document(source))
            say_what_changed(str(source), self.settings.store, document, collection.key)
        contexts: list[FrozenModels] = []
        score = TokenRewards(
            source, table, reference, quantities, collection, lambda: contexts[0].coarsest
        )

        @functools.cache
        def set_up() -> None:
            contexts.append(self._context(source))
            call_plugin(str(source), "setup", source.reward.setup, contexts[0])

        def compute(rows: Sequence[int]) -> Sequence[torch.Tensor]:
            set_up()
            return score(rows)

        def close() -> None:
            call_plugin(str(source), "teardown", source.reward.teardown)
            for context in contexts:
                self.metrics |= means([context.metrics.pop(source.name)])
                context.release()

        entries, way = reward_entries(source, table), way_of(source.reward)
        if way.overlaps and source.reference_values:
            raise PluginError(
                f"{source} needs '{source.reference_values[0]}', which calls that overlap do not "
                "get: write score(batch) without async and concurrency."
            )
        return Pass(
            number=number,
            name=f"token_reward:{source.name}",
            label=f"{source.name} rewards",
            collection=collection,
            table=table,
            entries=entries,
            compute=compute,
            close=close,
            finish=score.finish,
            answers=Answers(source, way, table, reference, collection, entries, set_up)
            if way.overlaps
            else None,
            prepare=lambda: self.prepare(source),
        )

    def _context(self, source: RewardSource, artifacts: Path | None = None) -> FrozenModels:
        """Return what a source's ``setup`` or ``prepare`` is given.

        Args:
            source: the source.
            artifacts: folder that ``prepare`` fills; None: the one it has filled, if it has.
        """
        if artifacts is None and source.is_fitted:
            artifacts = self._artifacts(source)
        return FrozenModels(
            self.tokenizer,
            device=self.settings.device,
            precision=self.settings.precision,
            trust=self.settings.trust,
            who=str(source),
            may_load=source.needs_models,
            artifacts=artifacts,
        )

    def prepare(self, source: RewardSource) -> None:
        """Fit a source to the training set, if it wants that; every process must call this."""
        if not source.is_fitted:
            return
        if source.needs_reference and self.training is not None:
            reference = self._reference_pass(self.training)
            try:
                fill(reference, label="training set: ")
            finally:
                reference.close()
        by_main_first(lambda: self._artifacts(source))

    def _artifacts(self, source: RewardSource) -> Path:
        """Return the folder that a source's ``prepare`` has filled, now or earlier."""
        document = self._reward_document(source)
        training = self.training
        assert training is not None  # the document names it

        def fitted(folder: Path) -> None:
            reference = self._references.locate(training.ids_hashes)
            examples = training_examples(source, training, reference)
            prepare(source, self._context(source, folder), examples, folder)

        return cached_table(self.settings.store, "artifacts", document, fitted)

    def _training_hash(self, source: RewardSource) -> str:
        if id(source) not in self._hashes:
            self._hashes[id(source)] = training_hash(source, self.training)
        return self._hashes[id(source)]

    def _reward_document(self, source: RewardSource) -> dict[str, Any]:
        document = call_plugin(str(source), "its fingerprint", source_document, source)
        call_plugin(str(source), "its fingerprint", canonical_hash, document)  # JSON or an error
        document["tokenizer"] = tokenizer_fingerprint(self.tokenizer)
        if source.is_fitted:
            document["training"] = self._training_hash(source)
        if source.needs_models:
            document["precision"] = self.settings.precision.document()
        if source.needs_reference or source.reference_values:
            document["reference"] = self._reference_document()
        return document
