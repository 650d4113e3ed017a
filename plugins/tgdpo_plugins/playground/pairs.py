"""Preference pairs: of two answers to a prompt, the one with fewer mistakes is preferred.

The preferred answer may still be wrong, as in pairs that a reward model picks. So the pairs hold
more than 'imitate what is right', and plain fine-tuning on the chosen answers does not win.
"""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

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
    """Write pairs as JSON lines, compressed if the name ends in ``.gz``."""
    data = "".join(json.dumps(vars(pair)) + "\n" for pair in pairs).encode()
    # Without a time stamp the same pairs give the same file.
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Return the rows that ``write_pairs`` wrote."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return (json.loads(line) for line in text.splitlines())


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
