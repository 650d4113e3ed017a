"""The scoring pass: reference log-probs and token rewards of a table of pairs, from the store."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.models.fingerprints import tokenizer_fingerprint
from tgdpo_core.models.loading import NO_TRUST, Trust, on_device
from tgdpo_core.models.precision import Precision
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.scoring.context import FrozenModels
from tgdpo_core.scoring.filling import Compute, Elsewhere, Pass, fill
from tgdpo_core.scoring.fits import require_known_ids
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.scoring.online import OnlineRewards
from tgdpo_core.scoring.passes import reference_logps, reward_entries, token_rewards
from tgdpo_core.scoring.sources import RewardSource, source_document
from tgdpo_core.scoring.weights import fit_source
from tgdpo_core.store.collection import Collection
from tgdpo_core.store.folder import canonical_hash
from tgdpo_core.store.located import Located


@dataclass(frozen=True)
class Reference:
    """The reference model, loaded only if the store lacks some of its values.

    Attributes:
        identity: JSON that names its weights.
        load: returns the model.
        precision: its number formats, if they are not those of frozen models.
    """

    identity: Mapping[str, Any]
    load: Callable[[], Any]
    precision: Precision | None = None


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


@dataclass(frozen=True)
class StoredScores:
    """Where the stored values of a table lie, by row number.

    Attributes:
        reference: log-probs of the response tokens under the reference.
        rewards: those of each source whose rewards are stored.
    """

    reference: Located
    rewards: Sequence[Located]


@dataclass(frozen=True)
class PassCounts:
    """Pairs whose values were computed, and pairs whose values were in the store."""

    computed: int
    reused: int


@dataclass
class Scorer:
    """Fills the store for several tables with one set of models and plugins.

    Attributes:
        reference: the reference model.
        sources: the reward sources, in the order they are summed.
        tokenizer: the policy's.
        settings: where and how.
        counts: pass name to pairs computed and reused, over all tables so far.
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
        reference, *rewards = [
            self._filled(self.task(table, number), label, elsewhere)
            for number in range(1 + len(self.stored))
        ]
        return StoredScores(reference, rewards)

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
        self._references.refresh()
        return self._reward_pass(number, table, self._references.locate(table.ids_hashes))

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
        return OnlineRewards(weighted, lambda each: self._context(each.source), shaping)

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

    def _reward_pass(self, number: int, table: TokenTable, reference: Located) -> Pass:
        source = self.stored[number - 1]
        context = self._context(source)
        score = token_rewards(source, table, reference)

        @functools.cache
        def set_up() -> None:
            call_plugin(str(source), "setup", source.reward.setup, context)

        def compute(rows: Sequence[int]) -> Sequence[torch.Tensor]:
            set_up()
            return score(rows)

        def close() -> None:
            call_plugin(str(source), "teardown", source.reward.teardown)
            context.release()

        return Pass(
            number=number,
            name=f"token_reward:{source.name}",
            label=f"{source.name} rewards",
            collection=Collection(self.settings.store, self._reward_document(source)),
            table=table,
            entries=reward_entries(source, table),
            compute=compute,
            close=close,
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
        if source.needs_reference:
            document["reference"] = self._reference_document()
        return document
