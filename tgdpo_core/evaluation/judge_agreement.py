"""How well two judges agree on which of two models answered a prompt better."""

from dataclasses import dataclass

import numpy as np

from tgdpo_core.evaluation.intervals import Array, Estimate, interval

_BETTER, _TIE, _WORSE = range(3)


@dataclass(frozen=True)
class Agreement:
    """Of two judges, over pairs of answers that both have judged.

    Attributes:
        first, second: their names.
        share: of pairs of which both say the same: better, a tie, or worse.
        kappa: Cohen's: the share beyond what chance would give, 1 perfect, 0 chance; no value where
            both judges always say the same one thing.
        num_pairs: of answers.
        table: [3][3] counts, rows what the first judge says (better, tie, worse), columns the
            second.
    """

    first: str
    second: str
    share: Estimate
    kappa: Estimate
    num_pairs: int
    table: tuple[tuple[int, ...], ...]


def agreement(
    names: tuple[str, str], values: tuple[Array, Array], prompts: Array, weights: Array
) -> Agreement:
    """Return the agreement of two judges, with intervals over resampled prompts.

    Args:
        names: of the judges.
        values: [n] of each judge, how surely one model's answer is better than the other's: above
            0.5 better, 0.5 a tie.
        prompts: [n] numbers of the prompts.
        weights: [B, P], see ``resampled_weights``.
    """
    said = [np.select([v > 0.5, v == 0.5], [_BETTER, _TIE], _WORSE) for v in values]
    counts = np.zeros((weights.shape[1], 9))
    np.add.at(counts, (prompts, said[0] * 3 + said[1]), 1)
    total = counts.sum(axis=0)
    share, kappa = _share_and_kappa(total[None])
    shares, kappas = _share_and_kappa(weights @ counts)
    rows = total.reshape(3, 3).astype(int).tolist()
    return Agreement(
        *names,
        interval(float(share[0]), shares),
        interval(float(kappa[0]), kappas),
        len(prompts),
        tuple(tuple(row) for row in rows),
    )


def _share_and_kappa(tables: Array) -> tuple[Array, Array]:
    """Return [B] and [B] of [B, 9] tables; NaN where they are not defined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = tables.reshape(-1, 3, 3) / tables.sum(axis=1)[:, None, None]
        same = np.trace(shares, axis1=1, axis2=2)
        chance = (shares.sum(axis=2) * shares.sum(axis=1)).sum(axis=1)
        kappa = np.where(chance < 1, (same - chance) / (1 - chance), np.nan)
    return same, kappa
