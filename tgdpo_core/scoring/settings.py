"""What a scoring pass is told, and what it leaves behind."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tgdpo_core.models.loading import NO_TRUST, Trust
from tgdpo_core.models.precision import Precision
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
        reference_values: of the reference's distribution, [n * k] flat, by quantity.
    """

    reference: Located
    rewards: Sequence[Located]
    reference_values: Mapping[str, Located] = field(default_factory=dict)


@dataclass(frozen=True)
class PassCounts:
    """Pairs whose values were computed, and pairs whose values were in the store.

    Attributes:
        computed: pairs.
        reused: pairs.
        asked: what was asked about single responses, with its cost; empty where batches are scored.
    """

    computed: int
    reused: int
    asked: Mapping[str, Any] = field(default_factory=dict)
