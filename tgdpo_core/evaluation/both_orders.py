"""Verdicts on two answers in both orders, put together, and how much the order decided.

Judges prefer a place: the same two answers, shown the other way round, often get another winner. So
whoever asks a judge of comparisons asks twice. What a preference for a place adds to one order it
takes from the other, and it leaves the combined verdict.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tgdpo_core.plugin_api.judges import Comparison, Unjudged, Verdict

TieRule = Literal["mean", "agree"]

_Z = 1.959963984540054  # 95 %


@dataclass(frozen=True)
class BothOrders:
    """What a judge said of one comparison, asked twice.

    Attributes:
        given: of the comparison as it is: how surely its first answer is the better one.
        swapped: of the other order: how surely the answer that is *then* shown first is the better.
    """

    given: Verdict
    swapped: Verdict

    def combined(self, rule: TieRule = "mean") -> Verdict:
        """Return how surely the first answer of the given order is the better one.

        Args:
            rule: ``mean``: of both orders, so that each is half a win (AlpacaEval, Arena-Hard);
                ``agree``: a win where both orders name the same winner, else a tie (MT-Bench).

        Returns:
            0 to 1; ``Unjudged`` if either order is: one order alone would bring the bias back.
        """
        missing = [v.reason for v in (self.given, self.swapped) if isinstance(v, Unjudged)]
        if missing:
            return Unjudged(missing[0])
        first, second = self._outcomes()
        if rule == "mean":
            return (first + second) / 2
        winners = {_winner(first), _winner(second)}
        return winners.pop() if len(winners) == 1 else 0.5

    @property
    def is_judged(self) -> bool:
        """Whether both orders have a verdict."""
        return not isinstance(self.given, Unjudged) and not isinstance(self.swapped, Unjudged)

    @property
    def is_changed(self) -> bool:
        """Whether the order changes who wins; from or to a tie is a change."""
        first, second = map(_winner, self._outcomes())
        return first != second

    @property
    def is_reversed(self) -> bool:
        """Whether each answer wins once: in the same place."""
        first, second = map(_winner, self._outcomes())
        return first + second == 1 and first != second

    @property
    def first_place(self) -> float:
        """How surely the answer in the first place is the better, mean of both orders.

        0.5 where the order changes nothing.
        """
        return (float(self.given) + float(self.swapped)) / 2  # type: ignore[arg-type]

    def _outcomes(self) -> tuple[float, float]:
        """Return both verdicts on the first answer of the given order; both must be there."""
        return float(self.given), 1 - float(self.swapped)  # type: ignore[arg-type]


def in_both_orders(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return each comparison, and behind it the same with its answers swapped."""
    return [
        asked
        for comparison in comparisons
        for asked in (comparison, Comparison(comparison.second, comparison.first))
    ]


def paired(verdicts: Sequence[Verdict]) -> list[BothOrders]:
    """Return the verdicts on ``in_both_orders(comparisons)``, one item a comparison.

    Raises:
        ValueError: their number is odd.
    """
    if len(verdicts) % 2:
        raise ValueError(f"two verdicts a comparison, got {len(verdicts)} in all")
    return [BothOrders(*verdicts[i : i + 2]) for i in range(0, len(verdicts), 2)]


@dataclass(frozen=True)
class Share:
    """A share or mean in [0, 1] with its 95 % interval; NaN where nothing was judged."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PositionBias:
    """How much the order decided, over the comparisons that were judged in both.

    Attributes:
        num_judged: comparisons with a verdict in both orders.
        num_unjudged: the others, which count nowhere else here.
        changed: share whose winner changes with the order, ties being a winner of their own.
        reversed: share in which each answer wins once.
        first_place: mean verdict for the first place over both orders: 0.5 without preference, 1
            for a judge that always says the first.
        one_order: mean verdict on the first answers in the given order alone, with the bias in it.
        both_orders: the same of both orders.
    """

    num_judged: int
    num_unjudged: int
    changed: Share
    reversed: Share
    first_place: Share
    one_order: float
    both_orders: float

    def as_dict(self) -> dict[str, Any]:
        """Return JSON; None where a number is not defined."""
        return {name: _json(value) for name, value in asdict(self).items()}


def position_bias(
    verdicts: Sequence[BothOrders], prompts: Sequence[Hashable] | None = None
) -> PositionBias:
    """Return how much the order decided.

    Intervals count prompts, not comparisons: those of one prompt are not independent. The interval
    of shares is Wilson's. That of ``first_place`` is the one of Agresti and Min (2005, "Simple
    improved confidence intervals for comparing matched proportions"): that of the mean, after half
    a comparison of each of the four outcomes is added, so that no few comparisons look certain.

    Args:
        verdicts: of both orders, one a comparison.
        prompts: names the prompt of each comparison (default: each has its own).
    """
    names = list(prompts) if prompts is not None else list(range(len(verdicts)))
    judged = [(v, name) for v, name in zip(verdicts, names, strict=True) if v.is_judged]
    both, of = [v for v, _ in judged], [name for _, name in judged]
    return PositionBias(
        num_judged=len(both),
        num_unjudged=len(verdicts) - len(both),
        changed=_share([float(v.is_changed) for v in both], of),
        reversed=_share([float(v.is_reversed) for v in both], of),
        first_place=_preference([v.first_place for v in both], of),
        one_order=_mean([float(v.given) for v in both]),  # type: ignore[arg-type]
        both_orders=_mean([float(v.combined()) for v in both]),  # type: ignore[arg-type]
    )


def _winner(verdict: float) -> float:
    """Return 1, 0.5 or 0: the first, nobody, the second."""
    return 0.5 if verdict == 0.5 else float(verdict > 0.5)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _share(values: Sequence[float], prompts: Sequence[Hashable]) -> Share:
    """Return a mean with Wilson's interval, of as many draws as there are prompts."""
    if not values:
        return Share(math.nan, math.nan, math.nan)
    mean, n = _mean(values), len(set(prompts))
    centre = (mean + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(mean * (1 - mean) / n + _Z**2 / (4 * n**2))
    return Share(mean, max(0.0, centre - half), min(1.0, centre + half))


def _preference(values: Sequence[float], prompts: Sequence[Hashable]) -> Share:
    """Return a mean with the interval of Agresti and Min, of the means of prompts."""
    if not values:
        return Share(math.nan, math.nan, math.nan)
    by_prompt: dict[Hashable, list[float]] = {}
    for value, name in zip(values, prompts, strict=True):
        by_prompt.setdefault(name, []).append(value)
    # Half a comparison each of: both orders say the first place, both the second, the two answers.
    weighted = [(_mean(of), 1.0) for of in by_prompt.values()]
    weighted += [(1.0, 0.5), (0.0, 0.5), (0.5, 1.0)]
    total = math.fsum(w for _, w in weighted)
    centre = math.fsum(v * w for v, w in weighted) / total
    variance = math.fsum(w * (v - centre) ** 2 for v, w in weighted) / total
    half = _Z * math.sqrt(variance / total)
    return Share(_mean(values), max(0.0, centre - half), min(1.0, centre + half))


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _json(each) for name, each in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
