"""Length-controlled win rates: what the win rate would be if the answers were equally long.

    logit P(model is better than baseline)
        = a tanh((len_baseline - len_model) / sd) + b difficulty(prompt) + c

fitted by logistic regression with soft targets and an L1 penalty whose strength five-fold
cross-validation chooses; the win rate is the mean prediction with the length term at 0. Without
difficulties their term is left out.

Source: Dubois et al. (2024), arXiv 2404.04475, and the package alpaca-eval 0.6.6
    (metrics/glm_winrate.py, ``length_controlled_v1`` and ``length_controlled_minimal``). Lengths
    are characters, sd is the sample standard deviation over the prompts, the penalty also lies on
    c, strengths are 10 from 1e-4 to 1e4. AlpacaEval's judgements of its baseline told to be verbose
    and concise (``gamed``) have weight 0.1 each and no c.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tgdpo_core.evaluation.intervals import Array, Estimate, interval, resampled_weights

STRENGTHS = np.logspace(-4, 4, 10)
"""Inverse strengths of the penalty that are tried (scikit-learn's ``C``)."""
NUM_FOLDS = 5
_GAMED_WEIGHT = 0.1  # lambda = 0.2, shared by two gamed baselines
_CLIP = 1e-15


@dataclass(frozen=True)
class Gamed:
    """Judgements of the baseline told to be verbose or concise, against itself.

    Attributes:
        preferences: [G] in 0 to 1, that the gamed answer is better.
        lengths: [G] standardised length differences.
        difficulties: [G] of their prompts.
    """

    preferences: Array
    lengths: Array
    difficulties: Array


@dataclass(frozen=True)
class LengthControlled:
    """A length-controlled win rate.

    Attributes:
        win_rate: 0 to 1. The interval is of the regression with the weakest penalty, over resampled
            prompts: a strong one holds the estimate, and its resamples, at exactly 0.5. None where
            all outcomes are the same, which resamples cannot vary.
        standard_error: as AlpacaEval gives it: of the mean of the predictions alone, so that it
            does not know how surely the coefficients are known.
        coefficients: by term: ``length``, ``difficulty`` if there is one, ``model``.
        strength: inverse strength of the penalty that was chosen.
        num_prompts: that count.
        num_gamed: rows of gamed baselines that it is regularised with.
    """

    win_rate: Estimate
    standard_error: float
    coefficients: dict[str, float]
    strength: float
    num_prompts: int
    num_gamed: int = 0

    @property
    def is_erased(self) -> bool:
        """Whether the penalty that was chosen leaves no term: the win rate is then 0.5."""
        return not any(self.coefficients.values())

    def is_extreme(self, raw: Estimate) -> bool:
        """Return whether it is so far from the raw win rate that the regression may have failed.

        AlpacaEval's rule: by more than 10 points and a quarter of the way to 0 or 1.
        """
        if self.win_rate.value is None or raw.value is None:
            return False
        change = self.win_rate.value - raw.value
        room = raw.value if change < 0 else 1 - raw.value
        return abs(change) > max(0.1, room / 4)


@dataclass(frozen=True)
class _Rows:
    """A weighted regression: terms [n, k], targets [n] in 0 to 1, weights [n]."""

    terms: Array
    targets: Array
    weights: Array

    def at(self, chosen: Array) -> "_Rows":
        return _Rows(self.terms[chosen], self.targets[chosen], self.weights[chosen])


def length_controlled(
    preferences: Array,
    length_differences: Array,
    *,
    difficulties: Array | None = None,
    gamed: Gamed | None = None,
    resamples: Array | None = None,
) -> LengthControlled | None:
    """Return the length-controlled win rate of a model; None with fewer prompts than folds.

    Args:
        preferences: [P] float64 in 0 to 1, that the model is better than the baseline.
        length_differences: [P] characters of the baseline's answer minus the model's.
        difficulties: [P] of the prompts; None: the term is left out.
        gamed: AlpacaEval's regularisation; needs difficulties.
        resamples: [B, P] how often each prompt counts in each resample of the interval; None: 300
            are drawn.

    Raises:
        ValueError: ``gamed`` without difficulties.
    """
    number = len(preferences)
    if number < NUM_FOLDS:
        return None
    if resamples is None:
        resamples = resampled_weights(number, 300, seed=0)
    if np.ptp(preferences) == 0:  # every resample is the same
        resamples = resamples[:0]
    lengths = np.tanh(standardised(length_differences))
    own = [lengths, *([] if difficulties is None else [difficulties]), np.ones(number)]
    rows = _Rows(np.column_stack(own), preferences, np.ones(number))
    if gamed is not None:
        rows = _with_gamed(rows, gamed, has_difficulties=difficulties is not None)
    strength = chosen_strength(rows.terms, rows.targets, rows.weights)
    without_length = rows.terms[-number:].copy()
    without_length[:, 0] = 0
    found = fit(rows.terms, rows.targets, rows.weights, strength)
    predicted = _expit(without_length @ found)
    loose = fit(rows.terms, rows.targets, rows.weights, STRENGTHS[-1])
    drawn = [_resampled(rows, without_length, counts, loose) for counts in resamples]
    names = ["length", *([] if difficulties is None else ["difficulty"]), "model"]
    return LengthControlled(
        interval(float(predicted.mean()), np.array(drawn)),
        float(predicted.std(ddof=1) / number**0.5),
        dict(zip(names, found.tolist(), strict=True)),
        float(strength),
        number,
        0 if gamed is None else len(gamed.preferences),
    )


def standardised(length_differences: Array) -> Array:
    """Return [P] differences in units of their standard deviation; zeros where all are equal."""
    values = np.asarray(length_differences, dtype=np.float64)
    deviation = values.std(ddof=1)
    return values / deviation if deviation > 0 else np.zeros_like(values)


def fit(
    terms: Array, targets: Array, weights: Array, strength: float, *, near: Array | None = None
) -> Array:
    """Return [k] coefficients that minimise the penalised loss.

        |w|_1 + C sum_i weight_i (log(1 + exp(z_i)) - target_i z_i),    z = terms w

    Args:
        terms: [n, k] float64.
        targets: [n] in 0 to 1.
        weights: [n], at least 0.
        strength: C.
        near: [k] where the search begins, and ends at the third digit or so: for resamples.
    """
    from scipy.optimize import minimize

    number = terms.shape[1]
    scale = 1.0 / (1.0 + strength * weights.sum())

    def loss(parts: Array) -> tuple[float, Array]:
        # w = up - down with both at least 0, so that |w|_1 is smooth.
        w = parts[:number] - parts[number:]
        z = terms @ w
        value = parts.sum() + strength * (weights * (np.logaddexp(0.0, z) - targets * z)).sum()
        slope = strength * (terms.T @ (weights * (_expit(z) - targets)))
        return scale * value, scale * np.concatenate([1.0 + slope, 1.0 - slope])

    begin = np.zeros(number) if near is None else near
    exact = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1000}
    result = minimize(
        loss,
        np.concatenate([np.maximum(begin, 0), np.maximum(-begin, 0)]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * (2 * number),
        options=exact if near is None else {"ftol": 1e-9, "gtol": 1e-6, "maxiter": 50},
    )
    found: Array = result.x[:number] - result.x[number:]
    return found


def chosen_strength(terms: Array, targets: Array, weights: Array) -> float:
    """Return the strength with the least weighted log-loss on held-out rows, the first of equals.

    Row i is held out in fold i mod 5. AlpacaEval's folds are those of scikit-learn's ``GroupKFold``
    over groups of one size, whose order the platform's sort decides.
    """
    rows = _Rows(terms, targets, weights)
    fold = np.arange(len(targets)) % NUM_FOLDS
    losses = [
        [_held_out_loss(rows.at(fold != k), rows.at(fold == k), strength) for k in range(NUM_FOLDS)]
        for strength in STRENGTHS
    ]
    return float(STRENGTHS[int(np.argmin(np.mean(losses, axis=1)))])


def _held_out_loss(train: _Rows, held_out: _Rows, strength: float) -> float:
    found = fit(train.terms, train.targets, train.weights, strength)
    predicted = np.clip(_expit(held_out.terms @ found), _CLIP, 1 - _CLIP)
    y = held_out.targets
    losses = -(y * np.log(predicted) + (1 - y) * np.log(1 - predicted))
    return float((held_out.weights * losses).mean())


def _with_gamed(rows: _Rows, gamed: Gamed, *, has_difficulties: bool) -> _Rows:
    """Return the rows with those of the gamed baseline in front, as AlpacaEval has them."""
    if not has_difficulties:
        raise ValueError("gamed baselines have difficulties: give those of the prompts as well")
    number = len(gamed.preferences)
    front = [np.tanh(gamed.lengths), gamed.difficulties, np.zeros(number)]
    return _Rows(
        np.concatenate([np.column_stack(front), rows.terms]),
        np.concatenate([gamed.preferences, rows.targets]),
        np.concatenate([np.full(number, _GAMED_WEIGHT), rows.weights]),
    )


def _resampled(rows: _Rows, without_length: Array, counts: Array, start: Array) -> float:
    """Return the win rate where each of the model's prompts counts as often as it was drawn."""
    weights = rows.weights.copy()
    weights[-len(counts) :] = counts
    found = fit(rows.terms, rows.targets, weights, STRENGTHS[-1], near=start)
    return float((counts * _expit(without_length @ found)).sum() / counts.sum())


def _expit(z: Array) -> Array:
    from scipy.special import expit

    values: Array = expit(z)
    return values


def difficulties_of(columns: Sequence[object]) -> Array | None:
    """Return [P] difficulties where every prompt has one that is a number, else None."""
    try:
        values = np.array([float(value) for value in columns], dtype=np.float64)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return values if len(values) and np.isfinite(values).all() else None
