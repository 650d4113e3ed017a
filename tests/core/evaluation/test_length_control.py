"""Length-controlled win rates against alpaca-eval's own code, and against the formula."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from tgdpo_core.evaluation.intervals import Array, Estimate, resampled_weights
from tgdpo_core.evaluation.length_control import (
    STRENGTHS,
    Gamed,
    chosen_strength,
    difficulties_of,
    fit,
    length_controlled,
    standardised,
)


def annotations(seed: int, effect: float, num_prompts: int = 400) -> dict[str, Any]:
    """Made-up judgements of a model whose answers are longer, and of gamed baselines."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 1.2, num_prompts)
    baseline = rng.integers(200, 3000, num_prompts)
    model = (baseline * rng.lognormal(0.4, 0.5, num_prompts)).astype(int) + 1
    difference = (baseline - model).astype(float)
    z = effect + 0.6 * difficulty - np.tanh(difference / difference.std(ddof=1))
    preferences = 1 / (1 + np.exp(-(z + rng.normal(0, 1, num_prompts))))
    gamed = []
    for shift in (-1.2, 1.0):
        length = rng.normal(shift, 0.7, num_prompts)
        logit = -0.8 * np.tanh(length) + 0.1 * difficulty + rng.normal(0, 1, num_prompts)
        gamed.append((1 / (1 + np.exp(-logit)), length, difficulty))
    return {
        "preferences": preferences,
        "length_differences": difference,
        "difficulties": difficulty,
        "gamed": Gamed(*(np.concatenate(column) for column in zip(*gamed, strict=True))),
    }


# Of alpaca-eval 0.6.6 (metrics/glm_winrate.py, scikit-learn 1.6.1) on these annotations, percent:
# length_controlled_v1, length_controlled_noreg, length_controlled_minimal.
PUBLISHED_CODE = {
    (0, -1.0): (33.289, 33.1591, 32.8202),
    (1, 0.0): (49.5356, 49.4311, 49.7553),
    (2, 0.8): (62.4879, 61.9377, 62.2873),
}


@pytest.mark.parametrize(("seed", "effect"), PUBLISHED_CODE)
def test_it_equals_the_published_code_within_a_tenth_of_a_point(seed: int, effect: float) -> None:
    given = annotations(seed, effect)
    gamed = given.pop("gamed")
    difficulties = given.pop("difficulties")
    forms = (
        {"difficulties": difficulties, "gamed": gamed},
        {"difficulties": difficulties},
        {},
    )
    for form, expected in zip(forms, PUBLISHED_CODE[seed, effect], strict=True):
        found = length_controlled(**given, **form, resamples=np.ones((0, 400), dtype=int))
        assert found is not None
        assert found.win_rate.value is not None
        assert 100 * found.win_rate.value == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("strength", [0.01, 1.0, 1e4])
def test_coefficients_minimise_the_penalised_loss(strength: float) -> None:
    rng = np.random.default_rng(3)
    terms, targets = rng.normal(size=(200, 3)), rng.random(200)
    weights = rng.choice([0.1, 1.0], 200)

    def loss(w: Array) -> float:
        z = terms @ w
        losses = weights * (np.log1p(np.exp(z)) - targets * z)
        return float(np.abs(w).sum() + strength * losses.sum())

    found = fit(terms, targets, weights, strength)
    plain = minimize(loss, found, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    assert loss(found) <= plain.fun + 1e-7 * abs(plain.fun)


def test_length_that_decides_everything_is_taken_out() -> None:
    rng = np.random.default_rng(0)
    difference = rng.normal(-300, 200, 500)  # the model is longer
    preferences = 1 / (1 + np.exp(3 * np.tanh(standardised(difference))))
    found = length_controlled(
        preferences, difference, resamples=resampled_weights(len(preferences), 50, seed=0)
    )
    assert found is not None
    assert preferences.mean() > 0.8
    assert found.win_rate.value == pytest.approx(0.5, abs=0.01)
    assert found.is_extreme(Estimate(float(preferences.mean())))


def test_equal_lengths_change_nothing() -> None:
    preferences = np.random.default_rng(0).random(300) * 0.6
    found = length_controlled(
        preferences, np.full(300, 7.0), resamples=resampled_weights(len(preferences), 50, seed=0)
    )
    assert found is not None
    assert found.win_rate.value == pytest.approx(preferences.mean(), abs=0.005)
    assert found.win_rate.low < found.win_rate.value < found.win_rate.high  # type: ignore[operator]
    assert found.coefficients["length"] == 0


def test_without_a_difference_the_penalty_leaves_no_term() -> None:
    rng = np.random.default_rng(1)
    preferences = (rng.random(200) > 0.5).astype(float)
    found = length_controlled(
        preferences,
        rng.normal(size=200),
        resamples=resampled_weights(len(preferences), 100, seed=0),
    )
    assert found is not None
    assert found.is_erased
    assert found.win_rate.value == 0.5
    assert found.win_rate.high - found.win_rate.low > 0.05  # type: ignore[operator]


def test_fewer_prompts_than_folds_have_none() -> None:
    assert length_controlled(np.ones(4), np.ones(4)) is None


def test_gamed_baselines_need_difficulties() -> None:
    given = annotations(0, 0.0, 20)
    del given["difficulties"]
    with pytest.raises(ValueError, match="difficulties"):
        length_controlled(**given)


def test_the_strength_is_one_of_those_that_are_tried() -> None:
    given = annotations(0, 0.5, 100)
    terms = np.column_stack([standardised(given["length_differences"]), np.ones(100)])
    assert chosen_strength(terms, given["preferences"], np.ones(100)) in STRENGTHS


@pytest.mark.parametrize("columns", [[1.0, None], [], ["hard", 1], [float("nan")]])
def test_difficulties_count_only_where_every_prompt_has_one(columns: list[object]) -> None:
    assert difficulties_of(columns) is None
    assert difficulties_of(["1.5", 2]) is not None
