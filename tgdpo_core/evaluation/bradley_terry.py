"""Bradley and Terry's strengths of several models, from who was preferred to whom.

    P(a is better than b) = sigmoid(s_a - s_b)

A tie is half a win for both. Where one model, or a group, won or lost everything against the
others, the likelihood has no maximum: its strength is infinite, and is said to be.
"""

import numpy as np

from tgdpo_core.evaluation.intervals import Array


def strengths(wins: Array) -> Array:
    """Return [M] strengths of greatest likelihood, in nats; their sum is 0 where all are finite.

    The largest group that is joined by wins in both directions is placed (of equals, the one
    that has the first model). Beside it a model is +inf if chains of wins lead only from it to the
    group, -inf if only from the group to it, NaN if neither or no comparison tells.

    Args:
        wins: [M, M] float64, how often the model of the row was preferred to that of the column.

    Source: Ford (1957): the maximum exists, and is unique up to a constant, exactly where wins
        join every model with every other in both directions.
    """
    from scipy.sparse.csgraph import connected_components

    number = len(wins)
    _, groups = connected_components(wins > 0, directed=True, connection="strong")
    sizes = np.bincount(groups)
    placed = groups == max(groups, key=lambda group: sizes[group])
    found = np.full(number, np.nan)
    found[placed] = _finite(wins[np.ix_(placed, placed)])
    reach = _reach(wins > 0)
    above = reach[:, placed].any(axis=1)
    below = reach[placed].any(axis=0)
    found[~placed & above] = np.inf
    found[~placed & below] = -np.inf
    return found


def _finite(wins: Array) -> Array:
    """Return the strengths of models that wins join in both directions."""
    from scipy.optimize import minimize
    from scipy.special import expit

    number = len(wins)
    if number == 1:
        return np.zeros(1)
    games = wins + wins.T

    def loss(s: Array) -> tuple[float, Array]:
        differences = s[:, None] - s[None, :]
        expected = games * expit(differences)
        value = float((wins * np.logaddexp(0.0, -differences)).sum())
        # A little pull to the middle: the constant that the likelihood leaves open.
        return value + s.sum() ** 2 / 2, (expected - wins).sum(axis=1) + s.sum()

    scale = games.sum()
    result = minimize(
        lambda s: tuple(part / scale for part in loss(s)),
        np.zeros(number),
        jac=True,
        method="BFGS",
        options={"gtol": 1e-9},
    )
    values: Array = result.x - result.x.mean()
    return values


def _reach(beats: Array) -> Array:
    """Return [M, M]: whether a chain of wins leads from the row to the column."""
    reach = np.asarray(beats, dtype=bool).copy()
    for middle in range(len(reach)):
        reach |= reach[:, [middle]] & reach[[middle], :]
    return reach
