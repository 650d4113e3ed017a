"""Axes of a chart: round ticks, and values to places."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 5.0, 10.0)
_LONGEST_LABEL = 6


@dataclass(frozen=True)
class Axis:
    """One axis: from values to places in pixels.

    Attributes:
        low: value at ``start``.
        high: value at ``end``.
        start: place in pixels.
        end: place in pixels; below ``start`` for an axis that points up.
        ticks: round values between.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: Sequence[float]

    def place(self, value: float) -> float:
        """Return where a value lies."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def axis(values: Iterable[float], start: float, end: float, *, most: int, pad: float) -> Axis:
    """Return an axis that holds values.

    Args:
        values: those that are not finite are left out.
        start: place of the lowest value, pixels.
        end: place of the highest.
        most: about how many ticks there is room for.
        pad: share of the range that is left free at both ends.
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    # A difference that float32 would not show is none.
    if high - low <= 1e-7 * max(abs(low), abs(high)):
        room = abs(high) / 2 or 1.0
    else:
        room = pad * (high - low)
    low, high = low - room, high + room
    return Axis(low, high, start, end, ticks(low, high, most))


def ticks(low: float, high: float, most: int) -> list[float]:
    """Return at most ``most`` + 1 round values from ``low`` to ``high``."""
    span = (high - low) / most
    power = 10.0 ** math.floor(math.log10(span))
    step = next(each * power for each in _STEPS if each * power >= span * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step + 0.0 for number in range(first, last + 1)]


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Return the labels of an axis, short enough to stand beside it: plain, or all as 1.5e-4."""
    plain = [label(tick) for tick in ticks]
    if all(len(each) <= _LONGEST_LABEL and "e" not in each for each in plain):
        return plain
    return [_short(tick) for tick in ticks]


def _short(value: float) -> str:
    if value == 0:
        return "0"
    digits, _, power = f"{value:.3e}".partition("e")
    digits = digits.rstrip("0").rstrip(".")
    return f"{digits}e{int(power)}".replace("-", "\N{MINUS SIGN}")


def label(value: float) -> str:
    """Return a value in at most four significant digits, with a real minus sign."""
    return f"{value + 0.0:.4g}".replace("-", "\N{MINUS SIGN}")
