"""Each failure sign: where it appears, what it says, and where it stays away."""

import dataclasses

import pytest

from tgdpo_core.reports.failure_signs import failure_signs
from tgdpo_core.reports.reward_statistics import RewardStatistics, WeightStatistics
from tgdpo_core.scoring.rounding import Rounding

HEALTHY = WeightStatistics(
    mean=1.1, std=0.2, min=0.5, max=1.5, negative_fraction=0.0, effective_fraction=0.95
)
UNEVEN = "uneven-mixture"
REWARD = RewardStatistics(
    name="induced",
    num_tokens=100,
    mean=0.0,
    std=1.0,
    rms=1.0,
    max_abs=3.0,
    mean_chosen=0.1,
    mean_rejected=-0.1,
    nonzero_fraction=1.0,
    pair_correlation=0.1,
    quantiles={0.0: -3.0, 1.0: 3.0},
)


def weights(**changes: float) -> WeightStatistics:
    return dataclasses.replace(HEALTHY, **changes)


def constant(value: float) -> WeightStatistics:
    return weights(mean=value, min=value, max=value, std=0.0, effective_fraction=1.0)


def reward(**changes: object) -> RewardStatistics:
    return dataclasses.replace(REWARD, **changes)  # type: ignore[arg-type]


def messages(*args: WeightStatistics, rewards: RewardStatistics = REWARD) -> dict[str, str]:
    return {sign.code: sign.message for sign in failure_signs([rewards], *args)}


def test_healthy_weights_and_rewards_show_no_sign() -> None:
    assert messages(HEALTHY, HEALTHY) == {}


def test_constant_weights_are_dpo_with_another_beta() -> None:
    found = messages(constant(1.3), constant(0.7))
    assert list(found) == ["no-variance"]
    assert "this is DPO with another beta" in found["no-variance"]
    assert "1.3 on chosen, 0.7 on rejected" in found["no-variance"]


def test_weights_that_are_all_one_are_plain_dpo() -> None:
    assert messages(constant(1.0), constant(1.0)) == {
        "no-variance": "no variance: every weight is 1, this is plain DPO."
    }


def test_weights_that_hardly_vary_are_negligible() -> None:
    found = messages(weights(std=0.004), weights(std=0.019))
    assert list(found) == ["negligible"]
    assert "0.004 on chosen and 0.019 on rejected" in found["negligible"]


def test_one_side_that_varies_enough_is_not_negligible() -> None:
    assert messages(weights(std=0.004), weights(std=0.021)) == {}


@pytest.mark.parametrize(("side", "other"), [("chosen", "rejected"), ("rejected", "chosen")])
def test_a_side_of_ones_beside_a_side_that_varies_is_named(side: str, other: str) -> None:
    one, varied = constant(1.0), weights(mean=1.0)
    found = messages(*((one, varied) if side == "chosen" else (varied, one)))
    assert list(found) == ["one-side"]
    assert f"every weight of the {side} responses is 1" in found["one-side"]
    assert f"those of the {other} vary (sd 0.2)" in found["one-side"]


def test_more_than_one_percent_of_negative_weights_is_a_sign_flip() -> None:
    found = messages(HEALTHY, weights(negative_fraction=0.023, min=-0.4))
    assert list(found) == ["sign-flips"]
    assert "2.3% on rejected" in found["sign-flips"]
    assert "smallest -0.4" in found["sign-flips"]
    assert messages(HEALTHY, weights(negative_fraction=0.01)) == {}


def test_mean_f_w_below_mean_f_l_accelerates_displacement() -> None:
    found = messages(weights(mean=0.95), weights(mean=1.05))
    assert list(found) == ["displacement"]
    assert "mean f_w 0.95 is below mean f_l 1.05" in found["displacement"]


def test_a_difference_of_means_below_one_percent_is_noise() -> None:
    assert messages(weights(mean=0.995), weights(mean=1.0)) == {}


@pytest.mark.parametrize("rms", [9e-5, 10.5])
def test_a_reward_outside_the_usual_scale_is_named_with_its_rms(rms: float) -> None:
    found = messages(HEALTHY, HEALTHY, rewards=reward(rms=rms, max_abs=2 * rms))
    assert list(found) == ["reward-scale"]
    assert found["reward-scale"].startswith(f"induced: the RMS of the token reward is {rms:.3g}")


def test_a_largest_reward_above_fifty_rms_is_an_outlier() -> None:
    found = messages(HEALTHY, HEALTHY, rewards=reward(max_abs=51.0))
    assert list(found) == ["outliers"]
    assert "51, 51 times its RMS of 1" in found["outliers"]
    assert messages(HEALTHY, HEALTHY, rewards=reward(max_abs=50.0)) == {}


def test_a_reward_of_zero_everywhere_has_no_scale_to_complain_about() -> None:
    assert messages(HEALTHY, HEALTHY, rewards=reward(rms=0.0, max_abs=0.0)) == {}


def test_an_uneven_mixture_is_named_with_every_rms() -> None:
    sources = [reward(name="small", rms=0.1), reward(name="large", rms=0.3), reward(name="sum")]
    (sign,) = [s for s in failure_signs(sources, weights(), weights()) if s.code == UNEVEN]
    assert "small 0.1, large 0.3" in sign.message
    assert "large counts 3.0 times as much as small" in sign.message


def test_sources_of_one_scale_are_no_uneven_mixture() -> None:
    sources = [reward(name="a", rms=0.2), reward(name="b", rms=0.3), reward(name="sum", rms=9.0)]
    assert UNEVEN not in [s.code for s in failure_signs(sources, weights(), weights())]


def test_a_reward_as_small_as_its_rounding_is_named() -> None:
    rounded = reward(rounding=Rounding(moved=0.07, rms=0.073, dtype="bfloat16"))
    (sign,) = failure_signs([rounded], HEALTHY, HEALTHY)
    assert sign.code == "rounding"
    assert sign.message.startswith(
        "induced: its models compute in bfloat16, whose rounding moves its values by 96 % of their "
        "size (RMS 0.07 of 0.073"
    )


@pytest.mark.parametrize("rounding", [None, Rounding(0.1, 1.8, "bfloat16"), Rounding(0, 0, "f")])
def test_rounding_far_below_the_reward_is_none_of_its_signs(rounding: Rounding | None) -> None:
    assert failure_signs([reward(rounding=rounding)], HEALTHY, HEALTHY) == []
