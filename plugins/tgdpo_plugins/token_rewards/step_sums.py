"""Additive token values summed over the steps of a response."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

_Offsets = Sequence[tuple[int, int]]


def step_ends(text: str, separator: str | None) -> list[int]:
    """Return where each step of a text ends; a step keeps the separators behind it.

    Without a separator the text is one step.
    """
    if separator is None:
        return [len(text)]
    runs = re.finditer(f"(?:{re.escape(separator)})+", text)
    ends = [run.end() for run in runs if text[: run.end()].strip() and run.end() < len(text)]
    return [*ends, len(text)]


def step_sums(
    values: "Sequence[float] | np.ndarray[Any, Any]",
    offsets: _Offsets,
    *,
    onto: _Offsets,
    ends: Sequence[int],
    place: Literal["spread", "last"],
) -> "np.ndarray[Any, Any]":
    """Return [T] float64: sums of values over steps, on the tokens of each step.

    A token belongs to the step that holds its last character, EOS to the last one. ``spread``
    gives each of a step's tokens the same part of the sum, ``last`` all of it to the last. The
    total is conserved: a step without a token of its own joins the step behind it.

    Args:
        values: [R] additive values.
        offsets: character ranges of the R tokens that they belong to.
        onto: character ranges of the T tokens that get the sums (at least one).
        ends: where each step ends, ascending.
        place: ``spread`` or ``last``.
    """
    import numpy as np

    token_ends = _token_ends(onto)
    steps = np.minimum(np.searchsorted(ends, token_ends), len(ends) - 1)
    last = np.flatnonzero(np.append(np.diff(steps) > 0, True))
    owner = np.searchsorted(token_ends[last], _token_ends(offsets))
    sums = np.bincount(np.minimum(owner, len(last) - 1), np.asarray(values), len(last))
    if place == "last":
        result = np.zeros(len(onto))
        result[last] = sums
        return result
    num_tokens = np.diff(last, prepend=-1)
    return np.repeat(sums / num_tokens, num_tokens)


def _token_ends(offsets: _Offsets) -> "np.ndarray[Any, Any]":
    """Return where each token ends; an empty one ends with the token before it."""
    import numpy as np

    ends = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)[:, 1]
    return np.maximum.accumulate(ends)
