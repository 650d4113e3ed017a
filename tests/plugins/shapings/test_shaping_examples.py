"""Every shaping on numbers that fit on a hand, and the options that all of them share."""

import math
from typing import Any

import pytest
import torch

from tgdpo_core import Shaping
from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.manager import PluginManager

REWARDS = torch.tensor([2.0, 0.0, -4.0])


@pytest.fixture(scope="module")
def plugins() -> PluginManager:
    return PluginManager()


def weights(plugins: PluginManager, name: str, **options: Any) -> tuple[list[float], list[float]]:
    """Return f_w and f_l of the rewards 2, 0, -4."""
    shaping: Shaping = plugins.find("shaping", name).create(options)
    f_w, f_l = shaping(REWARDS, REWARDS)
    return f_w.tolist(), f_l.tolist()


def test_linear_is_the_papers_to_the_last_bit(plugins: PluginManager) -> None:
    rewards = torch.randn(10_000, generator=torch.Generator().manual_seed(0)) * 3
    f_w, f_l = plugins.find("shaping", "linear").create()(rewards, rewards)
    assert torch.equal(f_w, 1 + 0.5 * rewards)
    assert torch.equal(f_l, 1 - 0.5 * rewards)


@pytest.mark.parametrize(
    ("name", "f_w", "f_l"),
    [
        ("linear", [2, 1, -1], [0, 1, 3]),
        ("symmetric", [2, 1, -1], [2, 1, -1]),
        ("magnitude", [2, 1, 3], [2, 1, 3]),
        ("clipped-linear", [2, 1, 0], [0, 1, 3]),
        ("chosen-only", [2, 1, -1], [1, 1, 1]),
        ("rejected-only", [1, 1, 1], [0, 1, 3]),
        ("constant", [1, 1, 1], [1, 1, 1]),
    ],
)
def test_weights_with_default_options(
    plugins: PluginManager, name: str, f_w: list[float], f_l: list[float]
) -> None:
    assert weights(plugins, name) == (f_w, f_l)


def test_exponential_with_default_options(plugins: PluginManager) -> None:
    f_w, f_l = weights(plugins, "exponential")
    assert f_w == pytest.approx([math.e, 1, math.exp(-2)], rel=1e-6)
    assert f_l == pytest.approx([math.exp(-1), 1, math.exp(2)], rel=1e-6)


def test_the_exponent_is_bounded(plugins: PluginManager) -> None:
    f_w, f_l = weights(plugins, "exponential", alpha=1000.0, limit=2.0)
    assert f_w == pytest.approx([math.exp(2), 1, math.exp(-2)], rel=1e-6)
    assert f_l == pytest.approx([math.exp(-2), 1, math.exp(2)], rel=1e-6)


def test_exponential_is_finite_at_its_largest_limit(plugins: PluginManager) -> None:
    f_w, f_l = weights(plugins, "exponential", alpha=1e30, limit=80)
    assert all(map(math.isfinite, f_w + f_l))
    assert min(f_w + f_l) > 0


def test_clipped_linear_bounds_the_weights_after_the_shift(plugins: PluginManager) -> None:
    found = weights(plugins, "clipped-linear", shift=0.5, min=0.25, max=2.0)
    assert found == ([2.0, 1.5, 0.25], [0.25, 0.5, 2.0])


def test_constant_has_a_weight_for_each_side(plugins: PluginManager) -> None:
    assert weights(plugins, "constant", chosen=1.5, rejected=0.25) == ([1.5] * 3, [0.25] * 3)


def test_constant_takes_the_shift(plugins: PluginManager) -> None:
    assert weights(plugins, "constant", chosen=2, rejected=3, shift=0.5) == ([2.5] * 3, [2.5] * 3)


@pytest.mark.parametrize(
    ("name", "f_w", "f_l"),
    [
        ("linear", [3, 1, -3], [0.5, 1, 2]),
        ("symmetric", [3, 1, -3], [1.5, 1, 0]),
        ("magnitude", [3, 1, 5], [1.5, 1, 2]),
        ("clipped-linear", [3, 1, 0], [0.5, 1, 2]),
    ],
)
def test_each_side_may_have_its_own_alpha(
    plugins: PluginManager, name: str, f_w: list[float], f_l: list[float]
) -> None:
    assert weights(plugins, name, alpha_chosen=1.0, alpha_rejected=0.25) == (f_w, f_l)


def test_exponential_may_have_an_alpha_for_each_side(plugins: PluginManager) -> None:
    f_w, f_l = weights(plugins, "exponential", alpha_chosen=0.25, alpha_rejected=0.0)
    assert f_w == pytest.approx([math.exp(0.5), 1, math.exp(-1)], rel=1e-6)
    assert f_l == [1, 1, 1]


def test_an_alpha_of_one_side_that_is_zero_is_not_unset(plugins: PluginManager) -> None:
    assert weights(plugins, "linear", alpha=0.5, alpha_chosen=0.0) == ([1, 1, 1], [0, 1, 3])


@pytest.mark.parametrize("name", ["linear", "symmetric", "magnitude", "chosen-only"])
def test_shift_is_added_to_chosen_and_taken_from_rejected(
    plugins: PluginManager, name: str
) -> None:
    f_w, f_l = weights(plugins, name)
    expected = ([w + 0.25 for w in f_w], [w - 0.25 for w in f_l])
    assert weights(plugins, name, shift=0.25) == expected


def test_normalize_divides_by_the_mean_of_the_shifted_response(plugins: PluginManager) -> None:
    # f_w = 2 1 3 (+ 0.5), mean 2.5; f_l = 2 1 3 (- 0.5), mean 1.5.
    f_w, f_l = weights(plugins, "magnitude", shift=0.5, normalize="response")
    assert f_w == pytest.approx([1.0, 0.6, 1.4])
    assert f_l == pytest.approx([1.0, 1 / 3, 5 / 3])


def test_normalize_makes_a_constant_plain_dpo(plugins: PluginManager) -> None:
    found = weights(plugins, "constant", chosen=1.3, rejected=0.7, normalize="response")
    assert found == ([1, 1, 1], [1, 1, 1])


@pytest.mark.parametrize(
    ("rewards", "side"),
    [
        ([-4.0, -2.0], "chosen"),  # weights -1, 0: the sign would turn
        ([-2.0, -2.0], "chosen"),  # weights 0, 0
        ([1.9, -5.8], "chosen"),  # weights 1.95, -1.9: they nearly cancel
        ([3.0, 4.0], "rejected"),  # weights -0.5, -1
    ],
)
def test_normalize_refuses_a_mean_that_is_not_safely_positive(
    plugins: PluginManager, rewards: list[float], side: str
) -> None:
    linear = plugins.find("shaping", "linear").create({"normalize": "response"})
    with pytest.raises(ValueError, match=f"this {side} response.*clipped-linear"):
        linear(torch.tensor(rewards), torch.tensor(rewards))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("clipped-linear", {"min": 1, "max": 0.5}, "min 1.0 is above max 0.5"),
        ("exponential", {"limit": 0}, "above 0 and at most 80.0, got 0"),
        ("exponential", {"limit": 100}, "above 0 and at most 80.0, got 100"),
        ("linear", {"normalize": "batch"}, "'none' or 'response'"),
        ("linear", {"alpha": "strong"}, "option alpha='strong'"),
        ("constant", {"alpha": 0.5}, "has no option 'alpha'"),
        ("chosen-only", {"alpha_rejected": 0.5}, "has no option 'alpha_rejected'"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    plugins: PluginManager, name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(PluginError, match=message) as caught:
        plugins.find("shaping", name).create(options)
    assert f"shaping '{name}'" in str(caught.value)


def test_options_come_as_text_from_the_command_line(plugins: PluginManager) -> None:
    options = {"alpha_chosen": "none", "alpha": "0.25", "normalize": "none", "max": "2"}
    assert weights(plugins, "clipped-linear", **options) == ([1.5, 1, 0], [0.5, 1, 2])
