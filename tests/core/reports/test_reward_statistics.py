"""Statistics against arithmetic written out by hand."""

import numpy as np
import pytest

from tgdpo_core.reports.reward_statistics import (
    TokenValues,
    reward_statistics,
    weight_statistics,
)


def values(*responses: list[float]) -> TokenValues:
    flat = np.array([v for response in responses for v in response], np.float32)
    return TokenValues(flat, np.array([len(response) for response in responses]))


def test_moments_are_over_the_tokens_of_both_sides() -> None:
    found = reward_statistics("r", values([1.0, 3.0], [2.0]), values([0.0], [-1.0, 1.0]))
    assert found.num_tokens == 6
    assert found.mean == pytest.approx(1.0)
    assert found.rms == pytest.approx((16 / 6) ** 0.5)
    assert found.std == pytest.approx((16 / 6 - 1) ** 0.5)
    assert (found.mean_chosen, found.mean_rejected) == (2.0, 0.0)
    assert found.nonzero_fraction == pytest.approx(5 / 6)
    assert found.max_abs == 3.0


def test_quantiles_run_from_the_smallest_to_the_largest_value() -> None:
    found = reward_statistics("r", values([0.0, 1.0, 2.0]), values([3.0, 4.0])).quantiles
    assert (found[0.0], found[0.25], found[0.5], found[1.0]) == (0.0, 1.0, 2.0, 4.0)


def test_the_correlation_is_between_the_mean_rewards_of_the_responses_of_a_pair() -> None:
    chosen = values([1.0, 3.0], [4.0], [0.0, 0.0])  # means 2, 4, 0
    rejected = values([-2.0], [-4.0, -4.0], [1.0, -1.0])  # means -2, -4, 0
    assert reward_statistics("r", chosen, rejected).pair_correlation == pytest.approx(-1.0)


def test_a_side_that_does_not_vary_has_no_correlation() -> None:
    thirds = values([1 / 3] * 3, [1 / 3] * 7)
    assert reward_statistics("r", thirds, values([1.0], [2.0])).pair_correlation is None


def test_one_pair_has_no_correlation() -> None:
    assert reward_statistics("r", values([1.0]), values([2.0])).pair_correlation is None


def test_the_effective_fraction_is_one_over_n_where_one_token_decides() -> None:
    assert values([0.0, 0.0, 5.0, 0.0]).effective_fractions().tolist() == [0.25]


def test_the_effective_fraction_is_one_for_equal_weights_and_zero_where_they_cancel_out() -> None:
    fractions = values([2.0, 2.0, 2.0], [1.0, -1.0], [0.0, 0.0]).effective_fractions()
    assert fractions.tolist() == [1.0, 0.0, 0.0]


def test_weights_average_the_effective_fraction_over_responses_and_count_negative_tokens() -> None:
    found = weight_statistics(values([1.0, 1.0], [2.0, 0.0, -2.0, 2.0]))
    assert found.effective_fraction == pytest.approx((1 + 4 / (4 * 12)) / 2)
    assert found.negative_fraction == pytest.approx(1 / 6)
    assert (found.min, found.max, found.mean) == (-2.0, 2.0, pytest.approx(4 / 6))


def test_a_response_without_tokens_disturbs_no_other() -> None:
    assert values([1.0, 3.0], [], [5.0]).means().tolist() == [2.0, 0.0, 5.0]
