"""How answers ended: by the model or by a cut, after how many tokens; what cut ones score."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tgdpo_core.generation.answers import Answer

Unfinished = Literal["score", "zero", "skip"]

SAID: dict[Unfinished, str] = {
    "score": "unfinished answers are scored as they are",
    "zero": "unfinished answers count as 0",
    "skip": "unfinished answers are left out",
}
"""What tables say of each rule."""


@dataclass(frozen=True)
class Endings:
    """How some answers ended.

    Attributes:
        finished: share of them that the model ended itself.
        tokens: their mean length, the token that ended them included.
        num_unfinished: how many were cut at the most tokens allowed.
    """

    finished: float
    tokens: float
    num_unfinished: int


def endings(answers: Iterable[Answer]) -> Endings:
    """Return how answers ended; there must be one."""
    listed = list(answers)
    num_finished = sum(answer.finished for answer in listed)
    return Endings(
        num_finished / len(listed),
        statistics.fmean(answer.num_tokens for answer in listed),
        len(listed) - num_finished,
    )


def random_or_all(answers: Sequence[Answer]) -> Sequence[Answer]:
    """Return the random answers to a prompt, or the greedy one where it is the only one."""
    return [answer for answer in answers if answer.seed is not None] or answers
