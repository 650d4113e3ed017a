"""How token values are spread: counts in bins, chosen and rejected apart. Arrays only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_Array = np.ndarray[Any, Any]

_BINS = 40
_TAIL = 0.001  # of the values at each end may lie outside
_LONG_TAILS = 3.0  # times the range of the others: from there on the tails are cut off


@dataclass(frozen=True)
class Distribution:
    """A histogram of one value on the tokens of both sides.

    Attributes:
        name: the source of rewards, ``sum``, or ``weight``.
        low: lower end of the first bin.
        high: upper end of the last bin.
        chosen: [bins] number of tokens of chosen responses.
        rejected: [bins] of rejected ones.
        below: tokens of both sides below ``low``.
        above: those above ``high``.
    """

    name: str
    low: float
    high: float
    chosen: Sequence[int]
    rejected: Sequence[int]
    below: int
    above: int


def distribution(name: str, chosen: _Array, rejected: _Array) -> Distribution | None:
    """Return the histogram of [N] and [M] values; None where they are not finite, or all alike."""
    values = np.concatenate([chosen, rejected]).astype(np.float64)
    if not len(values) or not np.isfinite(values).all() or values.min() == values.max():
        return None
    low, high = values.min(), values.max()
    inner = np.quantile(values, (_TAIL, 1 - _TAIL))
    if high - low > _LONG_TAILS * (inner[1] - inner[0]) > 0:
        low, high = inner
    edges = np.linspace(low, high, _BINS + 1)
    if not (np.diff(edges) > 0).all():  # closer to each other than float64 can tell
        return None
    in_chosen, in_rejected = (
        np.histogram(side.astype(np.float64), edges)[0].tolist() for side in (chosen, rejected)
    )
    return Distribution(
        name=name,
        low=float(low),
        high=float(high),
        chosen=in_chosen,
        rejected=in_rejected,
        below=int((values < low).sum()),
        above=int((values > high).sum()),
    )


def extremes(gaps: _Array, most: int) -> tuple[list[int], list[int]]:
    """Return the indices of the lowest and of the highest values, most extreme first.

    Args:
        gaps: [P]; where all are alike none is an extreme.
        most: how many of each; never so many that one would be both.
    """
    order = np.argsort(gaps, kind="stable")
    number = min(most, len(gaps) // 2)
    if not number or gaps[order[0]] == gaps[order[-1]]:
        return [], []
    return order[:number].tolist(), order[::-1][:number].tolist()
