"""Judges: how good a generated response is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tgdpo_core.plugin_api.options import Options


@dataclass(frozen=True)
class Generation:
    """A prompt and what a model answered.

    Attributes:
        prompt: text or list of messages, as the data set has it.
        response: the generated text, special tokens left out.
        columns: the other columns of the data-set row.
    """

    prompt: Any
    response: str
    columns: Mapping[str, Any] = field(default_factory=dict)


class Judge(Options):
    """Base of a judge; only ``score`` must be written."""

    def setup(self) -> None:
        """Load what ``score`` needs."""

    def score(self, batch: Sequence[Generation]) -> Sequence[float]:
        """Return one score per generation; higher is better, 1 and 0 for solved and not solved."""
        raise NotImplementedError(f"{type(self).__name__} must implement score(batch)")

    def teardown(self) -> None:
        """Free what ``setup`` loaded; may be called twice."""
