"""Every transform on a training set that fits on a hand: two pairs, four responses."""

import math
from typing import Any

import pytest
import torch

from tgdpo_core import Example, Transform
from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.manager import PluginManager


def example(uid: str, side: Any, length: int, num_untruncated: int = 0) -> Example:
    return Example(uid, side, "p", "r", [0], [1] * length, [(0, 1)] * length, num_untruncated)


# Chosen: five tokens, sum 10, mean 2. Rejected: three tokens, sum -2, mean -2/3.
REWARDS = [torch.tensor(v) for v in ([1.0, 2.0, 3.0], [-1.0, 0.0], [0.0, 4.0], [-1.0])]
EXAMPLES = [
    example("a", "chosen", 3),
    example("a", "rejected", 2),
    example("b", "chosen", 2),
    example("b", "rejected", 1),
]


@pytest.fixture(scope="module")
def plugins() -> PluginManager:
    return PluginManager()


def fitted(plugins: PluginManager, name: str, **options: Any) -> list[list[float]]:
    """Return what a transform makes of the training set."""
    transform: Transform = plugins.find("transform", name).create(options)
    state = transform.fit(REWARDS, EXAMPLES)
    return [transform(r, e, state).tolist() for r, e in zip(REWARDS, EXAMPLES, strict=True)]


def close(expected: list[list[float]]) -> list[Any]:
    return [pytest.approx(values, abs=1e-6) for values in expected]


def test_center_takes_the_mean_of_all_tokens_away(plugins: PluginManager) -> None:
    assert fitted(plugins, "center") == [[0, 1, 2], [-2, -1], [-1, 3], [-2]]


def test_center_by_class_takes_the_mean_of_each_side_away(plugins: PluginManager) -> None:
    third = 1 / 3
    assert fitted(plugins, "center", by="class") == close(
        [[-1, 0, 1], [-third, 2 * third], [-2, 2], [-third]]
    )


def test_center_by_response_takes_the_mean_of_the_response_away(plugins: PluginManager) -> None:
    assert fitted(plugins, "center", by="response") == [[-1, 0, 1], [-0.5, 0.5], [-2, 2], [0]]


def test_standardize_divides_by_the_pooled_deviation(plugins: PluginManager) -> None:
    # Deviations from the mean 1: 0 1 2 -2 -1 -1 3 -2; squares 24 over 8 tokens.
    sd = math.sqrt(3)
    assert fitted(plugins, "standardize") == close(
        [[0, 1 / sd, 2 / sd], [-2 / sd, -1 / sd], [-1 / sd, 3 / sd], [-2 / sd]]
    )


def test_rms_scales_both_sides_by_one_factor(plugins: PluginManager) -> None:
    # Squares 1 4 9 1 0 0 16 1 = 32 over 8 tokens: root mean square 2.
    assert fitted(plugins, "rms", target=0.5) == close(
        [[0.25, 0.5, 0.75], [-0.25, 0], [0, 1], [-0.25]]
    )


def test_sequence_mean_gives_every_token_the_mean_of_its_response(plugins: PluginManager) -> None:
    assert fitted(plugins, "sequence-mean") == [[2, 2, 2], [-0.5, -0.5], [2, 2], [-1]]


def test_class_mean_gives_every_token_the_mean_of_its_side(plugins: PluginManager) -> None:
    low = -2 / 3
    assert fitted(plugins, "class-mean") == close([[2, 2, 2], [low, low], [2, 2], [low]])


def test_flip_changes_the_sign(plugins: PluginManager) -> None:
    assert fitted(plugins, "flip") == [[-1, -2, -3], [1, 0], [0, -4], [1]]


@pytest.mark.parametrize(
    ("k", "expected"),
    [(1, [3, 1, 2]), (-1, [2, 3, 1]), (4, [3, 1, 2]), (3, [1, 2, 3])],
)
def test_roll_moves_values_to_the_right_around_the_end(
    plugins: PluginManager, k: int, expected: list[float]
) -> None:
    assert fitted(plugins, "roll", k=k)[0] == expected


def test_smooth_averages_the_neighbours_that_exist(plugins: PluginManager) -> None:
    smooth = plugins.find("transform", "smooth").create({"window": 3})
    values = torch.tensor([0.0, 3.0, 6.0, 0.0, 0.0])
    assert smooth(values, EXAMPLES[0], {}).tolist() == [1.5, 3.0, 3.0, 2.0, 0.0]


def test_smooth_with_a_wide_window_is_the_mean_of_the_response(plugins: PluginManager) -> None:
    assert fitted(plugins, "smooth", window=7) == fitted(plugins, "sequence-mean")


def test_smooth_with_window_one_changes_nothing(plugins: PluginManager) -> None:
    assert fitted(plugins, "smooth", window=1) == [r.tolist() for r in REWARDS]


def test_the_statistics_of_the_training_set_are_used_for_other_data(
    plugins: PluginManager,
) -> None:
    center = plugins.find("transform", "center").create()
    state = center.fit(REWARDS, EXAMPLES)
    assert center(torch.tensor([5.0]), example("new", "rejected", 1), state).tolist() == [4.0]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rms", {"target": 0}, "target must be above 0, got 0"),
        ("smooth", {"window": 4}, "odd number from 1 on, got 4"),
        ("smooth", {"window": -1}, "odd number from 1 on, got -1"),
        ("center", {"by": "side"}, "'pooled', 'class' or 'response'"),
        ("roll", {"k": "1.5"}, "option k='1.5'"),
        ("permute", {"sed": 1}, "Did you mean 'seed'"),
    ],
)
def test_options_outside_their_range_are_refused(
    plugins: PluginManager, name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(PluginError, match=message) as caught:
        plugins.find("transform", name).create(options)
    assert f"transform '{name}'" in str(caught.value)


@pytest.mark.parametrize("other", [0.1, 0.1 + 7e-9])  # equal, and equal up to rounding
def test_standardize_refuses_rewards_without_spread(plugins: PluginManager, other: float) -> None:
    constant = [torch.full((3,), 0.1), torch.full((4,), other)]
    standardize = plugins.find("transform", "standardize").create()
    with pytest.raises(ValueError, match=r"all rewards are 0\.1: there is no spread"):
        standardize.fit(constant, [example("a", "chosen", 3), example("a", "rejected", 4)])


def test_rms_refuses_rewards_that_are_all_zero(plugins: PluginManager) -> None:
    with pytest.raises(ValueError, match="all rewards are zero"):
        plugins.find("transform", "rms").create().fit([torch.zeros(3)], EXAMPLES[:1])


def test_a_training_set_without_one_side_has_no_class_mean(plugins: PluginManager) -> None:
    with pytest.raises(ValueError, match="no token to take a mean of"):
        plugins.find("transform", "class-mean").create().fit(REWARDS[:1], EXAMPLES[:1])
