"""The enumerated world and its policies, against sums written out one sequence at a time."""

import itertools

import pytest
import torch

from tgdpo_core.errors import UsageError
from tgdpo_core.experiments.exact.policies import kl, sequence_optimal, token_optimal, value
from tgdpo_core.experiments.exact.world import make_world, shuffled


def test_every_sequence_visits_the_states_of_its_prefixes() -> None:
    world = make_world(3, 2, seed=0)
    for row, (first, second) in enumerate(itertools.product(range(3), repeat=2)):
        states = (0, 1 + first)
        by_hand = sum(world.rewards[s, a] for s, a in zip(states, (first, second), strict=True))
        assert world.sequence_rewards[row].item() == pytest.approx(by_hand.item())


def test_the_probabilities_of_all_sequences_sum_to_one() -> None:
    world = make_world(4, 3, seed=1)
    assert world.reference_sequence_logps.exp().sum().item() == pytest.approx(1)


def test_every_weight_is_positive_for_any_alpha_below_one() -> None:
    rewards = torch.cat([make_world(4, 3, seed=seed).rewards for seed in range(20)])
    assert rewards.abs().max() <= 1


def test_shuffled_rewards_are_the_same_values_elsewhere() -> None:
    rewards = make_world(4, 3, seed=0).rewards
    other = shuffled(rewards, seed=0)
    assert not torch.equal(other, rewards)
    assert torch.equal(other.reshape(-1).sort().values, rewards.reshape(-1).sort().values)


def test_the_sequence_optimal_policy_tilts_every_sequence_by_its_reward() -> None:
    world = make_world(3, 3, seed=2)
    found = world.along(sequence_optimal(world, beta=0.4))
    tilted = (world.reference_sequence_logps + world.sequence_rewards / 0.4).log_softmax(0)
    torch.testing.assert_close(found, tilted, rtol=0, atol=1e-12)


def test_no_other_policy_has_a_larger_value_than_the_sequence_optimal_one() -> None:
    world = make_world(3, 3, seed=2)
    best = sequence_optimal(world, beta=0.4)
    others = [token_optimal(world, torch.ones_like(world.rewards), beta=0.4), world.reference]
    for seed in range(10):
        noise = torch.randn(
            best.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        others.append((best + 0.1 * noise).log_softmax(-1))
    assert max(value(world, other, beta=0.4) for other in others) < value(world, best, beta=0.4)


def test_the_token_optimal_policy_is_blind_to_what_a_token_leads_to() -> None:
    """With one step left nothing lies ahead: there, and only there, the two policies agree."""
    world = make_world(3, 2, seed=0)
    by_token = token_optimal(world, torch.ones_like(world.rewards), beta=0.4)
    by_sequence = sequence_optimal(world, beta=0.4)
    torch.testing.assert_close(by_token[1:], by_sequence[1:], rtol=0, atol=1e-12)
    assert (by_token[0] - by_sequence[0]).abs().max() > 0.01


def test_kl_of_one_step_by_hand() -> None:
    world = make_world(2, 1, seed=0)
    policy = torch.tensor([[0.25, 0.75]], dtype=torch.float64).log()
    other = torch.tensor([[0.5, 0.5]], dtype=torch.float64).log()
    by_hand = 0.25 * torch.tensor(0.5).log() + 0.75 * torch.tensor(1.5).log()
    assert kl(world, policy, other) == pytest.approx(by_hand.item(), abs=1e-6)


@pytest.mark.parametrize(("vocabulary", "horizon"), [(1, 3), (4, 0), (4, 5), (257, 1)])
def test_a_world_that_cannot_be_listed_is_refused(vocabulary: int, horizon: int) -> None:
    with pytest.raises(UsageError, match=r"at most 256 sequences; got .*Lower --vocabulary"):
        make_world(vocabulary, horizon, seed=0)
