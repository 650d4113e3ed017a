"""Character spans projected to tokens.

Offsets of tokenizers are not a partition of the text: some leave out leading spaces, several byte
tokens may share one character, special tokens are empty. So token t owns the characters from the
end of its predecessor to its own end; characters that several tokens share are split evenly; what
follows the last token belongs to it; and an empty token (EOS) owns nothing, unless no other token
is there to own the text. Thus every character has an owner and sums are conserved.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tgdpo_core.plugin_api.rewards import Spans

_Array = np.ndarray[Any, Any]

_HOWS = ("sum", "mean", "max", "last")


def project(spans: Spans, offsets: Sequence[tuple[int, int]] | _Array, num_chars: int) -> _Array:
    """Return [T] float64 token values of spans over a text.

    ``sum``: each value is spread evenly over its characters and summed up per token, so that the
    total is conserved; an empty span lies on the character at its start, at the end of the text on
    the last token (EOS). ``mean``, ``max``: over the values on a token's characters. ``last``: the
    value on the last character of a token that has one. A token without characters takes the
    value of the one before it (0 for ``sum``); a token that no span touches takes ``spans.fill``.

    Args:
        spans: values on character ranges.
        offsets: [T, 2] character ranges of the tokens.
        num_chars: length of the text.

    Raises:
        ValueError: items that are no triples, a span outside the text, or an unknown ``how``.
    """
    if spans.how not in _HOWS:
        raise ValueError(f"Spans.how {spans.how!r} is not one of: {', '.join(_HOWS)}.")
    items = _checked_items(spans.items, num_chars)
    starts, ends = owned_ranges(offsets, num_chars)
    if not len(starts):
        return np.zeros(0)
    if spans.how == "sum":
        return _project_sum(items, starts, ends, num_chars)
    values, touched = _reduce(spans.how, items, starts, ends, num_chars)
    result = np.where(touched, values, float(spans.fill))
    # An empty token takes the value of the last one that owns a character.
    source = np.maximum.accumulate(np.where(ends > starts, np.arange(len(starts)), -1))
    return np.where(source < 0, float(spans.fill), result[np.maximum(source, 0)])


def owned_ranges(
    offsets: Sequence[tuple[int, int]] | _Array, num_chars: int
) -> tuple[_Array, _Array]:
    """Return first and one-past-last character that each token owns, [T] int64 both.

    Every character of the text is in at least one range; the ranges that share one are those of
    byte tokens inside it.
    """
    pairs = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
    if not len(pairs):
        return pairs[:, 0], pairs[:, 1]
    raw_starts, raw_ends = pairs.T
    reached = np.maximum.accumulate(raw_ends)
    before = np.concatenate([[0], reached[:-1]])
    advances, shares = raw_ends > before, (raw_ends <= before) & (raw_ends > raw_starts)
    starts = np.where(advances | shares, np.minimum(raw_starts, before), before)
    ends = np.where(advances | shares, raw_ends, before)
    owners = np.flatnonzero(ends > starts)
    last = owners[-1] if len(owners) else len(pairs) - 1
    if reached[-1] < num_chars:
        ends[last] = num_chars
        starts[last + 1 :] = ends[last + 1 :] = num_chars
    return starts, ends


class _Items(NamedTuple):
    """Spans as columns, [S] each."""

    starts: _Array
    ends: _Array
    values: _Array


def _checked_items(items: Sequence[tuple[int, int, float]], num_chars: int) -> _Items:
    try:
        table = np.array(items, dtype=np.float64).reshape(len(items), 3)
    except (ValueError, TypeError) as error:
        raise ValueError(f"Spans.items must be triples (start, end, value): {error}") from error
    places = table[:, :2]
    starts, ends = places.T
    inside = (starts >= 0) & (starts <= ends) & (ends <= num_chars)
    bad = np.flatnonzero(~(inside & (places % 1 == 0).all(1)))
    if len(bad):
        start, end = items[bad[0]][:2]
        raise ValueError(
            f"Span ({start}, {end}) is not inside the response's {num_chars} characters."
        )
    return _Items(starts.astype(np.int64), ends.astype(np.int64), table[:, 2])


def _project_sum(items: _Items, starts: _Array, ends: _Array, num_chars: int) -> _Array:
    at_end = items.starts == num_chars
    inner = _Items(*(column[~at_end] for column in items))
    lengths = np.maximum(inner.ends - inner.starts, 1)
    spans, chars = _characters(inner.starts, lengths)
    density = np.bincount(chars, (inner.values / lengths)[spans], num_chars)
    num_owners = np.cumsum(
        np.bincount(starts, minlength=num_chars + 1) - np.bincount(ends, minlength=num_chars + 1)
    )[:-1]
    result = _segment_sums(density / num_owners, starts, ends)
    result[-1] += items.values[at_end].sum()
    return result


def _reduce(
    how: str, items: _Items, starts: _Array, ends: _Array, num_chars: int
) -> tuple[_Array, _Array]:
    """Return the reduced value of each token, and whether it has one, [T] both."""
    spans, chars = _characters(items.starts, items.ends - items.starts)
    values = items.values[spans]
    counts = np.bincount(chars, minlength=num_chars)
    num_values = _segment_sums(counts, starts, ends)
    touched = num_values > 0
    if how == "mean":
        sums = _segment_sums(np.bincount(chars, values, num_chars), starts, ends)
        return sums / np.maximum(num_values, 1), touched
    on_char = np.full(num_chars + 1, -np.inf)
    if how == "max":
        with np.errstate(invalid="ignore"):  # NaN stays NaN and is refused later, with its place
            np.maximum.at(on_char, chars, values)
        return np.maximum.reduceat(on_char, _bounds(starts, ends))[::2], touched
    on_char[chars] = values  # of several spans on a character, the last one stays
    last = np.maximum.accumulate(np.where(counts > 0, np.arange(num_chars), -1))
    return on_char[np.append(last, -1)[ends - 1]], touched


def _characters(starts: _Array, lengths: _Array) -> tuple[_Array, _Array]:
    """Return (span, character) of every character of every span, flat, in the order of spans."""
    spans = np.repeat(np.arange(len(starts)), lengths)
    firsts = np.cumsum(lengths) - lengths
    return spans, np.arange(len(spans)) - firsts[spans] + starts[spans]


def _segment_sums(values: _Array, starts: _Array, ends: _Array) -> _Array:
    """Return the sum of ``values[start:end]`` for every range, 0 for an empty one."""
    sums = np.add.reduceat(np.append(values, 0), _bounds(starts, ends))[::2]
    return np.where(ends > starts, sums, 0)


def _bounds(starts: _Array, ends: _Array) -> _Array:
    """Return [start, end, start, end, ...], of which ``reduceat`` needs every other result."""
    return np.stack([starts, ends], 1).ravel()
