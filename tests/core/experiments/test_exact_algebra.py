"""The algebra behind docs/exact.md: label-free term, one common f, Z(s_t) of one pair."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tgdpo_core.engine import preference_loss
from tgdpo_core.experiments.exact.gradients import gradient_at_reference
from tgdpo_core.experiments.exact.losses import (
    bradley_terry_labels,
    coin_flip_labels,
    dataset_labels,
    full_model,
    label_entropy,
    official,
    sampled_pairs,
    simplified,
)
from tgdpo_core.experiments.exact.world import World, make_world
from tgdpo_core.plugin_api.manager import PluginManager

MANAGER = PluginManager()

worlds = st.builds(make_world, st.integers(2, 4), st.integers(1, 3), seed=st.integers(0, 2**31 - 1))
betas = st.floats(0.05, 2)
alphas = st.floats(0, 0.95)


def random_policy(world: World, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(
        world.reference.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return (world.reference + noise).log_softmax(-1)


def engine_margins(
    world: World, policy: torch.Tensor, shaping: Any, pairs: list[tuple[int, int]], beta: float
) -> torch.Tensor:
    """Return [P] margins of the engine's loss, weights from a built-in shaping (in float32)."""
    logps, reference, weights = [], [], []
    for pair in pairs:
        rewards = [world.rewards.reshape(-1)[world.tokens[i]].float() for i in pair]
        weights += [values.double() for values in shaping(*rewards)]
        logps += [policy.reshape(-1)[world.tokens[i]] for i in pair]
        reference += [world.reference.reshape(-1)[world.tokens[i]] for i in pair]
    horizon = world.horizon
    return preference_loss(
        torch.cat(logps),
        torch.cat(reference),
        torch.cat(weights),
        torch.arange(len(pairs)).repeat_interleave(2 * horizon),
        (torch.arange(2) == 0).repeat_interleave(horizon).repeat(len(pairs)),
        num_pairs=len(pairs),
        beta=beta,
    ).margins


@pytest.mark.parametrize(("name", "objective"), [("linear", official), ("symmetric", simplified)])
@settings(deadline=None, max_examples=15)
@given(world=worlds, alpha=alphas, beta=betas)
def test_the_margins_are_those_of_the_engine_and_the_built_in_shaping(
    name: str, objective: Any, world: World, alpha: float, beta: float
) -> None:
    policy = random_policy(world)
    shaping = MANAGER.find("shaping", name).create({"alpha": alpha})
    pairs = [(0, 1), (1, 0), (world.num_sequences - 1, 0)]
    ours = objective(world, world.rewards, alpha=alpha, beta=beta).margins(world, policy)
    expected = torch.stack([ours[pair] for pair in pairs])
    found = engine_margins(world, policy, shaping, pairs, beta)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)  # float32 weights


@settings(deadline=None, max_examples=25)
@given(world=worlds, alpha=alphas, beta=betas)
def test_the_official_margin_is_that_of_dpo_plus_a_term_without_label(
    world: World, alpha: float, beta: float
) -> None:
    policy = random_policy(world)
    guided = official(world, world.rewards, alpha=alpha, beta=beta).margins(world, policy)
    dpo = simplified(world, world.rewards, alpha=0.0, beta=beta).margins(world, policy)
    products = world.along(world.rewards * (policy - world.reference))
    label_free = alpha * beta * (products[:, None] + products[None, :])
    assert torch.equal(label_free, label_free.T)
    torch.testing.assert_close(guided, dpo + label_free, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(world=worlds, alpha=alphas, beta=betas)
def test_with_one_common_f_the_two_orders_of_a_pair_have_probabilities_that_sum_to_one(
    world: World, alpha: float, beta: float
) -> None:
    policy = random_policy(world)
    for loss in (simplified, full_model):
        margins = loss(world, world.rewards, alpha=alpha, beta=beta).margins(world, policy)
        both = torch.sigmoid(margins) + torch.sigmoid(margins.T)
        torch.testing.assert_close(both, torch.ones_like(both), rtol=0, atol=1e-12)


def test_with_the_official_weights_they_do_not_sum_to_one() -> None:
    world = make_world(4, 3, seed=0)
    margins = official(world, world.rewards, alpha=0.5, beta=0.5).margins(
        world, random_policy(world)
    )
    both = torch.sigmoid(margins) + torch.sigmoid(margins.T)
    assert (both - 1).abs().max() > 0.1


@settings(deadline=None, max_examples=25)
@given(world=worlds, alpha=alphas, beta=betas, seed=st.integers(0, 1000))
def test_one_pair_has_one_direction_with_and_without_z(
    world: World, alpha: float, beta: float, seed: int
) -> None:
    pair = sampled_pairs(bradley_terry_labels(world), 1, seed=seed)
    labels = dataset_labels(pair, world.num_sequences)
    gradients = [
        gradient_at_reference(world, loss(world, world.rewards, alpha=alpha, beta=beta), labels)
        for loss in (full_model, simplified)
    ]
    assert F.cosine_similarity(*gradients, dim=0).item() == pytest.approx(1, abs=1e-9)


@settings(deadline=None, max_examples=15)
@given(world=worlds, alpha=alphas, beta=betas)
def test_coin_flips_push_the_official_loss_along_the_policy_gradient_of_its_reward(
    world: World, alpha: float, beta: float
) -> None:
    """At the reference, - grad loss = alpha beta E[grad sum_t r_t log pi(a_t|s_t)]."""
    labels = coin_flip_labels(world)
    found = gradient_at_reference(
        world, official(world, world.rewards, alpha=alpha, beta=beta), labels
    )
    logits = world.reference.clone().requires_grad_(True)
    score = world.along(world.rewards * logits.log_softmax(-1))
    drawn = labels.sum(1)  # how often a sequence is in a pair
    by_reward = torch.autograd.grad((drawn * score).sum(), logits)[0].reshape(-1)
    torch.testing.assert_close(-found, alpha * beta * by_reward, rtol=1e-9, atol=1e-12)


def test_the_entropy_of_coin_flips_is_one_bit() -> None:
    world = make_world(3, 2, seed=0)
    assert label_entropy(coin_flip_labels(world)) == pytest.approx(0.6931471805599453)


def test_the_entropy_of_bradley_terry_labels_by_hand() -> None:
    """Two sequences: one pair, with P = sigmoid(R_0 - R_1)."""
    world = make_world(2, 1, seed=3)
    p = torch.sigmoid(world.rewards[0, 0] - world.rewards[0, 1]).item()
    by_hand = -(p * torch.tensor(p).log() + (1 - p) * torch.tensor(1 - p).log()).item()
    assert label_entropy(bradley_terry_labels(world)) == pytest.approx(by_hand, abs=1e-6)
