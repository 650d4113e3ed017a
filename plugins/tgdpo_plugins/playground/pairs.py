"""Preference pairs: of two answers to a prompt, the one with fewer mistakes is preferred.

The preferred answer may still be wrong, as in pairs that a reward model picks. So the pairs hold
more than 'imitate what is right', and plain fine-tuning on the chosen answers does not win.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tgdpo_plugins.playground.task import check_text

_PROMPTS_PER_CALL = 256

Respond = Callable[[Sequence[str]], Sequence[str | None]]
"""Prompts to one sampled response each; None where the model did not end it."""


@dataclass(frozen=True)
class GradedPair:
    """One row of the data: a prompt, two answers, and how many mistakes each has."""

    prompt: str
    chosen: str
    rejected: str
    chosen_errors: int
    rejected_errors: int


def graded_pairs(prompts: Iterator[str], respond: Respond, *, num_pairs: int) -> list[GradedPair]:
    """Return the first pairs that two responses to each prompt give, fewer if prompts run out.

    Args:
        prompts: as many as are needed will be taken.
        respond: samples responses; called twice for every prompt.
        num_pairs: how many pairs to return.
    """
    return list(islice(_pairs(prompts, respond), num_pairs))


def write_pairs(pairs: Iterable[GradedPair], path: Path) -> None:
    """Write pairs as JSON lines."""
    path.write_text("".join(json.dumps(vars(pair)) + "\n" for pair in pairs), encoding="utf-8")


def _pairs(prompts: Iterator[str], respond: Respond) -> Iterator[GradedPair]:
    while some := list(islice(prompts, _PROMPTS_PER_CALL)):
        first, second = respond(some), respond(some)
        for prompt, a, b in zip(some, first, second, strict=True):
            pair = _graded(prompt, a, b)
            if pair is not None:
                yield pair


def _graded(prompt: str, first: str | None, second: str | None) -> GradedPair | None:
    """Return the pair of two responses; None for a tie, an empty response or one without end."""
    if not first or not second:
        return None
    (chosen_errors, chosen), (rejected_errors, rejected) = sorted(
        (check_text(prompt, text).num_errors, text) for text in (first, second)
    )
    if chosen_errors == rejected_errors:
        return None
    return GradedPair(prompt, chosen, rejected, chosen_errors, rejected_errors)
