"""The whole study: its settings, the rows of one world, the means over worlds."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, TypeVar

from tgdpo_core.errors import UsageError
from tgdpo_core.experiments.exact.coin_flips import GUIDANCE, CoinFlipRow, flip_coins
from tgdpo_core.experiments.exact.gradients import GradientRow, compare_gradients
from tgdpo_core.experiments.exact.optima import OptimumRow, compare_optima
from tgdpo_core.experiments.exact.world import make_world

Row = TypeVar("Row", GradientRow, OptimumRow, CoinFlipRow)


@dataclass(frozen=True)
class Settings:
    """What is enumerated.

    Attributes:
        vocabulary: A, tokens to choose from.
        horizon: H, tokens of a sequence.
        betas: values of beta, above 0.
        alphas: values of alpha, in [0, 1); every weight is positive then.

    Raises:
        UsageError: no value, or one outside its range.
    """

    vocabulary: int = 4
    horizon: int = 3
    betas: tuple[float, ...] = (0.1, 0.5, 1.0)
    alphas: tuple[float, ...] = (0.0, 0.5)

    def __post_init__(self) -> None:
        """Refuse values for which the full model is not defined."""
        if not self.betas or not all(0 < beta < float("inf") for beta in self.betas):
            raise UsageError(f"--beta must be above 0 and finite, got {_listed(self.betas)}.")
        if not self.alphas or not all(0 <= alpha < 1 for alpha in self.alphas):
            raise UsageError(
                f"--alpha must be in [0, 1), got {_listed(self.alphas)}: token rewards go to -1, "
                "and Z(s) is defined for positive weights 1 + alpha r only."
            )


@dataclass(frozen=True)
class Tables:
    """The three tables of one world, or their means over worlds."""

    gradients: tuple[GradientRow, ...]
    optima: tuple[OptimumRow, ...]
    coin_flips: tuple[CoinFlipRow, ...]


def run_world(settings: Settings, *, seed: int) -> Tables:
    """Return the tables of one world.

    Raises:
        UsageError: the world would be too large to enumerate.
        NumericError: a minimum was not found.
    """
    world = make_world(settings.vocabulary, settings.horizon, seed=seed)
    grid = [(beta, alpha) for beta in settings.betas for alpha in settings.alphas]
    return Tables(
        gradients=tuple(compare_gradients(world, alpha=a, beta=b, seed=seed) for b, a in grid),
        optima=tuple(compare_optima(world, alpha=a, beta=b) for b, a in grid),
        coin_flips=tuple(
            flip_coins(world, guidance=guidance, alpha=a, beta=b, seed=seed)
            for b, a in grid
            if a > 0  # alpha 0 is DPO, which stands in every row
            for guidance in GUIDANCE
        ),
    )


def mean_tables(worlds: Sequence[Tables]) -> Tables:
    """Return the tables with every measured number averaged over the worlds."""
    return Tables(
        gradients=_mean_rows([tables.gradients for tables in worlds]),
        optima=_mean_rows([tables.optima for tables in worlds]),
        coin_flips=_mean_rows([tables.coin_flips for tables in worlds]),
    )


def _mean_rows(worlds: Sequence[tuple[Row, ...]]) -> tuple[Row, ...]:
    return tuple(_mean_row(rows) for rows in zip(*worlds, strict=True))


def _mean_row(rows: Sequence[Row]) -> Row:
    columns = zip(*(vars(row).values() for row in rows), strict=True)
    return type(rows[0])(*map(_mean_value, columns))


def _mean_value(values: Sequence[Any]) -> Any:
    """Return the mean of numbers, entry by entry where they are tuples; names are all the same."""
    if isinstance(values[0], tuple):
        return tuple(map(_mean_value, zip(*values, strict=True)))
    return values[0] if isinstance(values[0], str) else mean(values)


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "none"
