"""Marks on tokens: which tokens and which steps are errors, flat over all responses.

Legend: R responses, N tokens, M steps, K pairs.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tgdpo_core.data.pairs import SIDES, TokenizedPair, TokenizedResponse
from tgdpo_core.marks.responses import MarkedResponse, MarkedRow, Span

Array = np.ndarray[Any, Any]

ERROR, RIGHT, UNJUDGED = 1, 0, -1
NO_ERROR, UNKNOWN = -1, -2


@dataclass(frozen=True)
class MarkedTokens:
    """The tokens of all responses with their marks. Labels are ERROR, RIGHT or UNJUDGED.

    Attributes:
        lengths: [R] tokens of each response.
        problem: [R] number of its prompt, from 0.
        is_assumed: [R] bool: taken as free of errors, marked by nobody.
        token_labels: [N] int8.
        token_steps: [N] the step of each token, counted over all responses; -1: a step that the
            length limit cut.
        step_labels: [M] int8.
        step_responses: [M] the response of each step.
        step_numbers: [M] the number of each step in its response, from 0.
        first_error: [R] the number of the first wrong step, NO_ERROR, or UNKNOWN where it was cut.
        pairs: [K, 2] chosen and rejected responses.
        counts: what was changed or left out.
    """

    lengths: Array
    problem: Array
    is_assumed: Array
    token_labels: Array
    token_steps: Array
    step_labels: Array
    step_responses: Array
    step_numbers: Array
    first_error: Array
    pairs: Array
    counts: Counter[str]

    @property
    def num_problems(self) -> int:
        """How many different prompts there are."""
        return int(self.problem.max()) + 1 if len(self.problem) else 0

    @property
    def token_responses(self) -> Array:
        """[N] the response of each token."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def step_means(self, values: Array) -> Array:
        """Return [M] float64 means of [N] token values over steps; NaN for one without a token."""
        inside = self.token_steps >= 0
        steps, num_steps = self.token_steps[inside], len(self.step_labels)
        counts = np.bincount(steps, minlength=num_steps)
        sums = np.bincount(steps, weights=values[inside], minlength=num_steps)
        return np.divide(sums, counts, out=np.full(num_steps, np.nan), where=counts > 0)


@dataclass(frozen=True)
class _Marked:
    """One response: labels and step numbers of its tokens, labels of its steps."""

    token_labels: Array
    token_steps: Array
    step_labels: Array
    first_error: int


def mark_tokens(rows: Sequence[MarkedRow], pairs: Sequence[TokenizedPair]) -> MarkedTokens:
    """Return the marks on the tokens of rows.

    Args:
        rows: marked rows.
        pairs: the same rows in the tokens of the policy; of a row with one response, that is the
            chosen one.
    """
    problems: dict[str, int] = {}
    parts: list[_Marked] = []
    problem, assumed, kept_pairs = [], [], []
    counts: Counter[str] = Counter()
    for row, pair in zip(rows, pairs, strict=True):
        number = problems.setdefault(row.prompt.strip(), len(problems))
        if row.is_pair:
            kept_pairs.append((len(parts), len(parts) + 1))
        for response, side in zip(row.responses, SIDES, strict=False):
            parts.append(_mark(response, pair.response(side), counts))
            problem.append(number)
            assumed.append(response.is_assumed)
    num_steps = np.array([len(part.step_labels) for part in parts], dtype=np.int64)
    first = np.cumsum(num_steps) - num_steps
    return MarkedTokens(
        lengths=np.array([len(part.token_labels) for part in parts], dtype=np.int64),
        problem=np.array(problem, dtype=np.int64),
        is_assumed=np.array(assumed, dtype=bool),
        token_labels=_flat([part.token_labels for part in parts], np.int8),
        token_steps=_flat(
            [
                np.where(part.token_steps < 0, -1, part.token_steps + start)
                for part, start in zip(parts, first, strict=True)
            ],
            np.int64,
        ),
        step_labels=_flat([part.step_labels for part in parts], np.int8),
        step_responses=np.repeat(np.arange(len(parts)), num_steps),
        step_numbers=_flat([np.arange(number) for number in num_steps], np.int64),
        first_error=np.array([part.first_error for part in parts], dtype=np.int64),
        pairs=np.array(kept_pairs, dtype=np.int64).reshape(-1, 2),
        counts=counts,
    )


def span_mask(offsets: Array, spans: Sequence[Span]) -> Array:
    """Return [T] bool: whether a span holds a character of the token, or is its empty place."""
    starts, ends = offsets[:, 0], offsets[:, 1]
    mask = np.zeros(len(starts), dtype=bool)
    for start, end in spans:
        is_place = (starts == start) & (ends == end)
        mask |= is_place | ((starts < end) & (ends > start))
    return mask


def error_mask(marked: MarkedResponse, tokens: TokenizedResponse) -> Array:
    """Return [T] bool: whether a token of a response is marked as an error."""
    return _mark(marked, tokens, Counter()).token_labels == ERROR


def _mark(marked: MarkedResponse, tokens: TokenizedResponse, counts: Counter[str]) -> _Marked:
    shift = _shift(marked.text, tokens.text)
    offsets = np.maximum(tokens.offsets - shift, 0)
    is_cut = len(tokens.ids) < tokens.num_untruncated
    counts["responses_cut"] += is_cut
    if marked.errors is not None:
        return _by_spans(marked.errors, offsets, is_cut, counts)
    num_chars = len(tokens.text) - shift
    num_whole = sum(end <= num_chars for _, end in marked.steps) if is_cut else len(marked.steps)
    labels = np.array([_label(wrong) for wrong in marked.is_wrong[:num_whole]], dtype=np.int8)
    # A token belongs to the step that holds its last character, an empty one to that before it.
    ends = np.maximum.accumulate(offsets[:, 1]) if len(offsets) else offsets[:, 1]
    steps = np.searchsorted([end for _, end in marked.steps], ends)
    steps = np.minimum(steps, len(marked.steps) - 1)
    inside = steps < num_whole
    token_labels = np.full(len(steps), UNJUDGED, dtype=np.int8)
    token_labels[inside] = labels[steps[inside]]
    first = marked.first_error
    was_cut = first is not None and first >= num_whole
    counts["first_errors_cut"] += was_cut
    first_error = UNKNOWN if was_cut or not num_whole else NO_ERROR if first is None else first
    return _Marked(token_labels, np.where(inside, steps, -1), labels, first_error)


def _by_spans(spans: Sequence[Span], offsets: Array, is_cut: bool, counts: Counter[str]) -> _Marked:
    """Every token is a step of its own."""
    labels = span_mask(offsets, spans).astype(np.int8)
    wrong = np.flatnonzero(labels)
    first_error = int(wrong[0]) if len(wrong) else UNKNOWN if is_cut and spans else NO_ERROR
    counts["first_errors_cut"] += first_error == UNKNOWN
    return _Marked(labels, np.arange(len(labels)), labels, first_error)


def _label(is_wrong: bool | None) -> int:
    return UNJUDGED if is_wrong is None else ERROR if is_wrong else RIGHT


def _shift(text: str, seen: str) -> int:
    """Return how many characters of the prompt the response's first token took along."""
    if seen.endswith(text):
        return len(seen) - len(text)
    return next(i for i in range(len(seen) + 1) if text.startswith(seen[i:]))


def _flat(parts: Sequence[Array], dtype: Any) -> Array:
    return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)
