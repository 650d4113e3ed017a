"""What follows from the numbers, in sentences; each says only what the rows at hand show."""

import math
from collections.abc import Sequence

from tgdpo_core.experiments.exact.coin_flips import CoinFlipRow
from tgdpo_core.experiments.exact.gradients import DATASET_SIZES, GradientRow
from tgdpo_core.experiments.exact.optima import OptimumRow
from tgdpo_core.experiments.exact.study import Tables

_SAME_DIRECTION = 1 - 1e-9  # cosine
_SAME_POLICY = 1e-6  # nats
_SAME_LOSS = 1e-6  # nats


def findings(tables: Tables) -> list[str]:
    """Return the statements on gradients, optima, likelihood and coin flips, in this order.

    A statement for which there is no row (no alpha of 0, none above 0) is left out.
    """
    unguided = [row for row in tables.optima if row.alpha == 0]
    guided = [row for row in tables.optima if row.alpha > 0]
    return [
        _one_pair(tables.gradients),
        _datasets(tables.gradients),
        _full_model(tables.optima),
        *([_unguided_target(unguided)] if unguided else []),
        *([_price_of_guidance(guided), _likelihood(guided)] if guided else []),
        *([_coin_flips(tables.coin_flips)] if tables.coin_flips else []),
        *([_what_is_learnt(tables.coin_flips)] if tables.coin_flips else []),
    ]


def _one_pair(rows: Sequence[GradientRow]) -> str:
    least = min(row.one_pair for row in rows)
    if least >= _SAME_DIRECTION:
        return "One pair: with and without Z(s_t) the gradient has the same direction."
    return f"One pair: without Z(s_t) the gradient turns (cosine down to {least:.4f})."


def _datasets(rows: Sequence[GradientRow]) -> str:
    cosines = [row.datasets[-1] for row in rows]
    size = DATASET_SIZES[-1]
    if min(cosines) >= _SAME_DIRECTION:
        return f"Data sets: with {size} pairs the two gradients still have one direction here."
    return (
        f"Data sets: with {size} pairs the cosine is {_range(cosines, '.2f')}. Dropping Z(s_t) "
        "leaves the direction of every single pair and changes that of their sum."
    )


def _full_model(rows: Sequence[OptimumRow]) -> str:
    largest = max(row.kl_full_token for row in rows)
    if largest < _SAME_POLICY:
        return "The full model is best fitted by the token-optimal policy, as its derivation says."
    return f"The full model is fitted best {largest:.1e} nats away from the token-optimal policy."


def _unguided_target(rows: Sequence[OptimumRow]) -> str:
    to_sequence = max(row.kl_sequence_simplified for row in rows)
    to_token = [row.kl_token_simplified for row in rows]
    lost = [row.shortfall_token for row in rows]
    if to_sequence >= _SAME_POLICY:
        return (
            f"At alpha 0 the simplified loss ends {to_sequence:.1e} nats from the sequence-optimal "
            f"policy and {_range(to_token)} nats from the token-optimal one."
        )
    if max(to_token) < _SAME_POLICY:
        return "At alpha 0 all losses end at one policy: token- and sequence-optimal are the same."
    return (
        "At alpha 0 the simplified loss (DPO) ends exactly at the sequence-optimal policy, "
        f"{_range(to_token)} nats from the token-optimal one, which is worse by {_range(lost)} in "
        "E[R] - beta KL. Dropping Z(s_t) is not a small error: it changes the target, from one "
        "step at a time to the whole sequence."
    )


def _price_of_guidance(rows: Sequence[OptimumRow]) -> str:
    common = [row.shortfall_simplified for row in rows]
    shipped = [row.shortfall_official for row in rows]
    return (
        f"Guided by the true reward (alpha above 0), one common f lacks {_range(common)} of the "
        f"largest E[R] - beta KL, the official f_w, f_l {_range(shipped)}; the official loss ends "
        f"{_range([row.kl_sequence_official for row in rows])} nats from the sequence-optimal "
        "policy."
    )


def _likelihood(rows: Sequence[OptimumRow]) -> str:
    common = max(abs(row.loss_simplified - row.entropy) for row in rows)
    below = [row.entropy - row.loss_official for row in rows]
    fits = "meets" if common < _SAME_LOSS else f"misses (by up to {common:.1e})"
    first = f"The least loss of one common f {fits} the entropy of the labels"
    if min(below) <= _SAME_LOSS:
        return f"{first}; that of the official loss is not below it in every row."
    return (
        f"{first}; that of the official loss lies {_range(below)} nats below. No likelihood can "
        "do that: the official loss is not one."
    )


def _coin_flips(rows: Sequence[CoinFlipRow]) -> str:
    knowing_nothing = math.log(2)
    staying = max(
        abs(loss - knowing_nothing) for row in rows for loss in (row.loss_dpo, row.loss_simplified)
    )
    shipped = [row.loss_official for row in rows]
    first = (
        "Coin-flip labels: DPO and one common f stay at ln 2 = 0.693"
        if staying < _SAME_LOSS
        else f"Coin-flip labels: DPO or one common f moves {staying:.1e} away from ln 2 = 0.693"
    )
    if max(shipped) >= knowing_nothing - _SAME_LOSS:
        return f"{first}; the official loss does not fall below it in every row."
    return (
        f"{first}; the official loss falls to {_range(shipped)}. A falling loss is no evidence "
        "that preferences are being fitted."
    )


def _what_is_learnt(rows: Sequence[CoinFlipRow]) -> str:
    parts = []
    for name, guidance in (("the true reward", "true"), ("a shuffled one", "shuffled")):
        some = [row for row in rows if row.guidance == guidance]
        parts.append(
            f"guided by {name} the guiding reward of a sequence changes by "
            f"{_range([row.guiding_gain for row in some], '+.2f')} and the true one by "
            f"{_range([row.true_gain for row in some], '+.2f')}"
        )
    return f"What it learns from coin flips: {'; '.join(parts)}."


def _range(values: Sequence[float], form: str = ".3g") -> str:
    """Return the least and the largest value, or the one that both print as."""
    least, largest = (format(value, form) for value in (min(values), max(values)))
    return least if least == largest else f"{least} to {largest}"
