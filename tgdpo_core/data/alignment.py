"""Character spans projected to tokens.

Offsets of tokenizers are not a partition of the text: some leave out leading spaces, several byte
tokens may share one character, special tokens are empty. So token t owns the characters from the
end of its predecessor to its own end; characters that several tokens share are split evenly; what
follows the last token belongs to it; and an empty token (EOS) owns nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tgdpo_core.plugin_api.rewards import Spans

_Array = np.ndarray[Any, Any]


def project(spans: Spans, offsets: Sequence[tuple[int, int]] | _Array, num_chars: int) -> _Array:
    """Return [T] float64 token values of spans over a text.

    ``sum``: each value is spread evenly over its characters and summed up per token, so that the
    total is conserved. ``mean``, ``max``: over the values on a token's characters. ``last``: the
    value on the last character of a token that has one. A token without characters takes the
    value of the one before it (0 for ``sum``); a token that no span touches takes ``spans.fill``.

    Args:
        spans: values on character ranges.
        offsets: [T, 2] character ranges of the tokens.
        num_chars: length of the text.

    Raises:
        ValueError: a span outside the text, or an unknown ``how``.
    """
    starts, ends = owned_ranges(offsets, num_chars)
    if spans.how == "sum":
        return _project_sum(spans, starts, ends, num_chars)
    if spans.how not in _REDUCE:
        raise ValueError(f"Spans.how {spans.how!r} is not one of: sum, {', '.join(_REDUCE)}.")
    per_char = _values_per_char(spans, num_chars)
    result = np.full(len(starts), np.nan)
    for t, (start, end) in enumerate(zip(starts, ends, strict=True)):
        values = [v for char in per_char[start:end] for v in char]
        if values:
            result[t] = _REDUCE[spans.how](values)
        elif start == end and t:
            result[t] = result[t - 1]
    return np.where(np.isnan(result), spans.fill, result)


_REDUCE: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": lambda values: sum(values) / len(values),
    "max": max,
    "last": lambda values: values[-1],
}


def owned_ranges(
    offsets: Sequence[tuple[int, int]] | _Array, num_chars: int
) -> tuple[_Array, _Array]:
    """Return first and one-past-last character that each token owns, [T] int64 both."""
    pairs = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
    starts, ends = pairs[:, 0].copy(), pairs[:, 1].copy()
    reached, last = 0, -1
    for t in range(len(pairs)):
        if ends[t] > reached:
            starts[t], reached, last = reached, ends[t], t
        elif ends[t] > starts[t]:
            last = t  # one of several byte tokens inside a character
        else:
            starts[t] = ends[t] = reached
    if last >= 0 and reached < num_chars:
        ends[last] = num_chars
        starts[last + 1 :] = ends[last + 1 :] = num_chars
    return starts, ends


def _project_sum(spans: Spans, starts: _Array, ends: _Array, num_chars: int) -> _Array:
    density = np.zeros(max(num_chars, 1))
    for start, end, value in spans.items:
        _check_span(start, end, num_chars)
        first = min(start, len(density) - 1)
        last = max(end, first + 1)
        density[first:last] += value / (last - first)
    owners = np.zeros(len(density) + 1)
    np.add.at(owners, starts, 1)
    np.add.at(owners, ends, -1)
    owners = np.cumsum(owners)[:-1]
    share = np.divide(density, owners, out=np.zeros_like(density), where=owners > 0)
    return np.array([share[a:b].sum() for a, b in zip(starts, ends, strict=True)])


def _values_per_char(spans: Spans, num_chars: int) -> list[list[float]]:
    per_char: list[list[float]] = [[] for _ in range(num_chars)]
    for start, end, value in spans.items:
        _check_span(start, end, num_chars)
        for char in range(start, end):
            per_char[char].append(float(value))
    return per_char


def _check_span(start: int, end: int, num_chars: int) -> None:
    if not 0 <= start <= end <= num_chars:
        raise ValueError(
            f"Span ({start}, {end}) is not inside the response's {num_chars} characters."
        )
