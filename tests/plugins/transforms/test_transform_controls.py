"""The random controls: what they keep, what they destroy, and whose randomness it is."""

import json
import os
import random
import subprocess
import sys
from typing import Any

import pytest
import torch

from tgdpo_core import Example
from tgdpo_plugins.seeding import example_generator
from tgdpo_plugins.token_rewards.random import RandomReward
from tgdpo_plugins.transforms.gaussian import Gaussian
from tgdpo_plugins.transforms.permute import Permute

NOISE = {
    "mean": {"chosen": 1.0, "rejected": -2.0},
    "std": {"chosen": 0.5, "rejected": 3.0},
}
RAMP = torch.arange(8.0)


def example(uid: str = "u", side: Any = "chosen", *, length: int = 8, full: int = 0) -> Example:
    return Example(uid, side, "p", "r", [0], [1] * length, [(0, 1)] * length, full or length)


def test_permute_moves_values_but_leaves_eos_in_its_place() -> None:
    moved = [Permute(seed=s)(RAMP, example(), {}) for s in range(20)]
    assert {values[-1].item() for values in moved} == {7.0}
    assert len({tuple(values.tolist()) for values in moved}) == 20


def test_permute_moves_eos_where_asked_to() -> None:
    moved = [Permute(seed=s, include_eos=True)(RAMP, example(), {}) for s in range(20)]
    assert len({values[-1].item() for values in moved}) > 3


def test_the_last_token_of_a_truncated_response_is_not_eos() -> None:
    moved = [Permute(seed=s)(RAMP, example(full=9), {}) for s in range(20)]
    assert len({values[-1].item() for values in moved}) > 3


def test_permute_leaves_a_response_of_one_token_alone() -> None:
    assert Permute()(torch.tensor([3.0]), example(length=1), {}).tolist() == [3.0]


def test_gaussian_has_the_fitted_mean_and_deviation_of_each_side() -> None:
    for side, mean, std in (("chosen", 1.0, 0.5), ("rejected", -2.0, 3.0)):
        noise = Gaussian()(torch.zeros(20_000), example(side=side), NOISE)
        assert noise.mean().item() == pytest.approx(mean, abs=0.03 * std)
        assert noise.std().item() == pytest.approx(std, rel=0.02)


def test_gaussian_is_fitted_on_each_side() -> None:
    rewards = [torch.tensor([1.0, 3.0]), torch.tensor([-4.0, 0.0])]
    state = Gaussian().fit(rewards, [example(length=2), example(side="rejected", length=2)])
    assert state == {
        "mean": {"chosen": 2.0, "rejected": -2.0},
        "std": {"chosen": 1.0, "rejected": 2.0},
    }


def test_gaussian_forgets_the_rewards() -> None:
    noise = [Gaussian()(rewards, example(), NOISE).tolist() for rewards in (RAMP, -RAMP)]
    assert noise[0] == noise[1]


@pytest.mark.parametrize("control", [Permute, Gaussian])
def test_another_seed_or_another_response_is_another_draw(control: Any) -> None:
    draws = [
        control(seed=seed)(RAMP, example(uid), NOISE).tolist()
        for seed in (0, 1)
        for uid in ("a", "b")
    ]
    assert len({tuple(draw) for draw in draws}) == 4


def test_sources_and_controls_with_one_seed_draw_independently() -> None:
    first = [
        example_generator(example(), stream=stream, seed=0).random()
        for stream in ("permute", "gaussian", "random")
    ]
    assert len(set(first)) == 3


def test_random_controls_leave_the_global_state_alone() -> None:
    before = random.getstate(), torch.random.get_rng_state()
    Permute()(RAMP, example(), {})
    Gaussian()(RAMP, example(), NOISE)
    assert random.getstate() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_random_values_do_not_depend_on_order_or_batch() -> None:
    examples = [example(uid) for uid in "abcdef"]
    together = RandomReward().score(examples)
    backwards = RandomReward().score(examples[::-1])[::-1]
    alone = [RandomReward().score([e])[0] for e in examples]
    assert together == backwards == alone


DRAW = """
import json, torch
from tgdpo_core import Example
from tgdpo_plugins.token_rewards.random import RandomReward
from tgdpo_plugins.transforms.gaussian import Gaussian
from tgdpo_plugins.transforms.permute import Permute
e = Example("4f1c", "chosen", "p", "r", [0], [1] * 8, [(0, 1)] * 8, 8)
state = {"mean": {"chosen": 0.0}, "std": {"chosen": 1.0}}
ramp = torch.arange(8.0)
print(json.dumps([
    RandomReward(seed=3).score([e])[0],
    Gaussian(seed=3)(ramp, e, state).tolist(),
    Permute(seed=3)(ramp, e, {}).tolist(),
]))
"""


def test_draws_are_the_same_in_every_process_whatever_the_hash_seed() -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", DRAW],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("0", "12345")
    ]
    first, second = (json.loads(process.communicate()[0]) for process in processes)
    assert first == second


def test_the_draws_of_earlier_runs_are_drawn_again() -> None:
    """Another number here makes every earlier control run irreproducible."""
    noise = [0.9311803570796797, -0.3242436213501314, -0.8190227764226631]
    e = example("4f1c")
    assert RandomReward(seed=3).score([e])[0][:3] == pytest.approx(noise, abs=1e-12)
    assert Permute(seed=3)(RAMP, e, {}).tolist() == [3, 5, 0, 4, 2, 1, 6, 7]
