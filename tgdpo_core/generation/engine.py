"""What an engine is: something that answers prompts, one answer for each request.

``generate`` (``door``) is what callers use; engines know nothing of stores, files or judges.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.generation.answers import Answer
from tgdpo_core.generation.sampling import Sampling


@dataclass(frozen=True)
class Request:
    """One answer that is to be drawn.

    Attributes:
        prompt: as the engine sends it, see ``Engine.lay_out``: token ids, text or messages.
        seed: of the draw; None: greedy.
    """

    prompt: Any
    seed: int | None


@dataclass(frozen=True)
class Drawn:
    """An answer, and its tokens where the engine says them.

    Attributes:
        answer: text, end and length.
        ids: of the answer, the one that ended it included; None: not known.
    """

    answer: Answer
    ids: tuple[int, ...] | None = None


class Engine(ABC):
    """Draws answers of one model.

    Attributes:
        name: how tables and messages call it.
        together: requests that are best handed over at once.
    """

    name: str
    together: int

    @abstractmethod
    def document(self) -> Mapping[str, Any]:
        """Return JSON of everything that decides answers, beside prompts and ``Sampling``."""

    @abstractmethod
    def lay_out(self, prompts: Sequence[PreferencePair], sampling: Sampling) -> list[Any]:
        """Return each prompt as it is sent: JSON.

        Raises:
            DataError: one cannot be laid out, is too long, or has not the form asked for.
        """

    @abstractmethod
    def draw(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Drawn]]:
        """Yield number and answer of every request, as they come.

        Of ``sampling`` only temperature, top-p and the most tokens count here.
        """

    def length(self, prompt: Any) -> int:
        """Return how long a laid-out prompt is; requests are handed over in this order."""
        return len(str(prompt))
