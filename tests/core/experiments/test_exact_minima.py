"""Where the losses come to rest, against policies in closed form."""

import math

import pytest
import torch

from tgdpo_core.errors import NumericError
from tgdpo_core.experiments.exact import minimum
from tgdpo_core.experiments.exact.coin_flips import flip_coins
from tgdpo_core.experiments.exact.gradients import compare_gradients
from tgdpo_core.experiments.exact.losses import (
    bradley_terry_labels,
    full_model,
    label_entropy,
    official,
    simplified,
)
from tgdpo_core.experiments.exact.minimum import minimise
from tgdpo_core.experiments.exact.optima import compare_optima
from tgdpo_core.experiments.exact.policies import kl, sequence_optimal, token_optimal
from tgdpo_core.experiments.exact.world import World, make_world

SEEDS = [0, 1]


@pytest.fixture(params=SEEDS)
def world(request: pytest.FixtureRequest) -> World:
    return make_world(3, 3, seed=request.param)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_the_full_model_is_fitted_by_the_token_optimal_policy(world: World, alpha: float) -> None:
    loss = full_model(world, world.rewards, alpha=alpha, beta=0.5)
    fitted = minimise(world, loss, bradley_terry_labels(world)).policy
    expected = token_optimal(world, 1 + alpha * world.rewards, beta=0.5)
    assert kl(world, fitted, expected) < 1e-6
    assert kl(world, expected, fitted) < 1e-6


def test_the_simplified_loss_at_alpha_zero_ends_at_the_sequence_optimal_policy(
    world: World,
) -> None:
    loss = simplified(world, world.rewards, alpha=0.0, beta=0.5)
    fitted = minimise(world, loss, bradley_terry_labels(world)).policy
    assert kl(world, sequence_optimal(world, beta=0.5), fitted) < 1e-6


def absorbed(world: World, weights: torch.Tensor, beta: float) -> torch.Tensor:
    """Return [S, A]: the policy with beta sum_t f log pi/pi_ref = R(y) + constant for every y.

    Backward induction: pi = pi_ref exp((Q - V) / (beta f)), where Q(s, a) = r + V(next state) and
    V(s) is the number, found by bisection, for which pi(. | s) sums to 1.
    """
    vocabulary = world.reference.shape[1]
    values = torch.zeros(world.reference.shape[0] * vocabulary + 1).double()
    policy = torch.empty_like(world.reference)
    for state in reversed(range(world.reference.shape[0])):
        following = state * vocabulary + 1 + torch.arange(vocabulary)
        gains = world.rewards[state] + values[following]
        low, high = gains.min() - 1, gains.max() + 1
        for _ in range(100):
            middle = (low + high) / 2
            logps = world.reference[state] + (gains - middle) / (beta * weights[state])
            low, high = (middle, high) if logps.exp().sum() > 1 else (low, middle)
        values[state], policy[state] = middle, logps
    return policy


def test_one_common_f_absorbs_z_and_stays_an_exact_likelihood(world: World) -> None:
    weights = 1 + 0.5 * world.rewards
    labels = bradley_terry_labels(world)
    fitted = minimise(world, simplified(world, world.rewards, alpha=0.5, beta=0.5), labels)
    expected = absorbed(world, weights, 0.5)
    assert expected.exp().sum(-1) == pytest.approx(1)
    assert kl(world, expected, fitted.policy) < 1e-6
    assert fitted.loss == pytest.approx(label_entropy(labels), abs=1e-9)


def test_the_official_loss_falls_below_the_entropy_of_the_labels(world: World) -> None:
    row = compare_optima(world, alpha=0.5, beta=0.5)
    assert row.loss_simplified == pytest.approx(row.entropy, abs=1e-9)
    assert row.loss_official < row.entropy - 0.05


def test_the_official_loss_leaves_the_optimum_that_one_common_f_stays_near(world: World) -> None:
    row = compare_optima(world, alpha=0.5, beta=0.5)
    assert row.shortfall_simplified >= 0
    assert row.shortfall_official > 5 * row.shortfall_simplified
    assert row.kl_sequence_official > 5 * row.kl_sequence_simplified


def test_with_coin_flip_labels_only_the_official_loss_falls_below_ln_two(world: World) -> None:
    row = flip_coins(world, guidance="true", alpha=0.5, beta=0.5, seed=0)
    assert row.loss_dpo == pytest.approx(math.log(2), abs=1e-12)
    assert row.loss_simplified == pytest.approx(math.log(2), abs=1e-12)
    assert row.loss_official < math.log(2) - 0.05


def test_from_coin_flips_the_official_loss_learns_whatever_guides_it(world: World) -> None:
    wrong = flip_coins(world, guidance="shuffled", alpha=0.5, beta=0.5, seed=0)
    right = flip_coins(world, guidance="true", alpha=0.5, beta=0.5, seed=0)
    assert wrong.guiding_gain > 0.1
    assert right.true_gain == right.guiding_gain > 0.1
    assert wrong.true_gain < right.true_gain


def test_one_pair_keeps_the_direction_and_a_data_set_does_not() -> None:
    row = compare_gradients(make_world(4, 3, seed=0), alpha=0.5, beta=0.5, seed=0)
    assert row.one_pair == pytest.approx(1, abs=1e-9)
    assert row.datasets[-1] < 0.95


def test_a_descent_that_does_not_arrive_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minimum, "_MAX_ITERATIONS", 2)
    world = make_world(3, 2, seed=0)
    loss = official(world, world.rewards, alpha=0.5, beta=0.5)
    with pytest.raises(NumericError, match=r"no minimum at beta 0.5: .* at most 5.0e-09 is"):
        minimise(world, loss, bradley_terry_labels(world))
