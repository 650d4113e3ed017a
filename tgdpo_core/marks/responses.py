"""A response in which somebody marked what is wrong; a row with one or two of them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Span = tuple[int, int]


@dataclass(frozen=True)
class MarkedResponse:
    """A response and what is known of its errors.

    Attributes:
        text: the response.
        steps: character ranges of its steps, each with the separator behind it; together they are
            the text. Empty where ``errors`` are character ranges.
        is_wrong: of each step: True, False, or None where nobody judged it.
        errors: character ranges of all its errors; None where steps are marked.
        is_assumed: nobody marked it: it is taken as free of errors, being the preferred response
            of a pair whose other response is marked.
    """

    text: str
    steps: Sequence[Span] = ()
    is_wrong: Sequence[bool | None] = ()
    errors: Sequence[Span] | None = None
    is_assumed: bool = False

    @property
    def first_error(self) -> int | None:
        """The number of its first wrong step, from 0; None if there is none."""
        return next((i for i, wrong in enumerate(self.is_wrong) if wrong), None)

    @property
    def has_error(self) -> bool:
        """Whether anything of it is marked as an error."""
        return bool(self.errors) or self.first_error is not None

    def step_texts(self) -> list[str]:
        """Return the steps without the space around them."""
        return [self.text[start:end].strip() for start, end in self.steps]


@dataclass(frozen=True)
class MarkedRow:
    """A prompt with a marked response, or with two: the preferred one first.

    Attributes:
        prompt: text.
        responses: one, or chosen and rejected.
        where: file and row, for messages.
        gap: what stands between prompt and response: a line break where the row has the response
            as a list of steps and the prompt ends without space.
    """

    prompt: str
    responses: tuple[MarkedResponse, ...]
    where: str
    gap: str = ""

    @property
    def is_pair(self) -> bool:
        """Whether one of two responses is preferred."""
        return len(self.responses) == 2


def contradict(one: MarkedResponse, other: MarkedResponse) -> bool:
    """Return whether two readings of the marks of a response say different things.

    Where one of them marks characters, only whether there is an error can be compared.
    """
    if one.errors is None and other.errors is None:
        return one.first_error != other.first_error
    return one.has_error != other.has_error


def joined(steps: Sequence[str], separator: str) -> tuple[str, list[Span]]:
    """Return the steps as one text, and the range of each, separator included."""
    text = separator.join(steps)
    starts = [0]
    for step in steps[:-1]:
        starts.append(starts[-1] + len(step) + len(separator))
    return text, list(pairwise([*starts, len(text)]))


def located(text: str, steps: Sequence[str]) -> list[Span] | None:
    """Return the ranges of steps that stand in a text in their order; None if they do not.

    What is between two steps belongs to the first of them.
    """
    starts: list[int] = []
    place = 0
    for step in steps:
        start = text.find(step, place)
        if start < 0:
            return None
        starts.append(start if starts else 0)
        place = start + len(step)
    return None if text[place:].strip() else list(pairwise([*starts, len(text)]))


def marks_fingerprint(rows: Sequence[MarkedRow]) -> str:
    """Return a hash of prompts, responses and marks, in order; not of where they stand."""
    digest = hashlib.blake2b(digest_size=12)
    for row in rows:
        content = [
            row.prompt + row.gap,
            [[r.text, r.steps, r.is_wrong, r.errors] for r in row.responses],
        ]
        digest.update(json.dumps(content).encode())
    return digest.hexdigest()
