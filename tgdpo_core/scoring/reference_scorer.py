"""What is asked of the reference alone: log-probs, and what plugins need of its distribution."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.engine.distribution import ReferenceHead
from tgdpo_core.engine.head import reference_head
from tgdpo_core.models.loading import on_device
from tgdpo_core.plugin_api.losses import Loss
from tgdpo_core.scoring.distribution import HIDDEN, Distribution, distribution_of
from tgdpo_core.scoring.filling import Compute, Pass
from tgdpo_core.scoring.fits import require_known_ids
from tgdpo_core.scoring.passes import reference_logps, reference_quantity
from tgdpo_core.scoring.settings import Reference, ScoringSettings
from tgdpo_core.scoring.sources import RewardSource
from tgdpo_core.store.collection import Collection


@dataclass
class ReferenceScorer:
    """The passes of the reference model; see ``Scorer`` for the attributes."""

    reference: Reference
    sources: Sequence[RewardSource]
    tokenizer: Any
    settings: ScoringSettings
    loss: tuple[str, Loss] | None = None

    @property
    def stored(self) -> list[RewardSource]:
        """The sources whose rewards are stored."""
        return [source for source in self.sources if not source.is_dynamic]

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
            over = None if name == HIDDEN else self.distribution.quantity(name)
            return reference_quantity(over, model, table, self.settings.precision)

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

    def _reference_document(self) -> dict[str, Any]:
        return {
            "kind": "logps",
            "model": dict(self.reference.identity),
            "precision": (self.reference.precision or self.settings.precision).document(),
        }
