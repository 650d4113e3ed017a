"""What holds for any rewards."""

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tgdpo_core import Example
from tgdpo_core.plugin_api.manager import PluginManager

MANAGER = PluginManager()
NAMES = [
    *("scale", "clip", "rms", "center", "standardize", "sequence-mean"),
    *("class-mean", "permute", "gaussian", "flip", "roll", "smooth"),
]
REQUIRED: dict[str, dict[str, float]] = {"scale": {"factor": -2.5}, "clip": {"max": 1.0}}

values = st.floats(-100, 100, width=32)
responses = st.lists(values, min_size=1, max_size=12)
training_sets = st.lists(st.tuples(responses, responses), min_size=1, max_size=5)


def make(name: str, **options: Any) -> Any:
    return MANAGER.find("transform", name).create({**REQUIRED.get(name, {}), **options})


def example(uid: str, side: Any, rewards: list[float]) -> Example:
    length = len(rewards)
    return Example(uid, side, "p", "r", [0], [1] * length, [(0, 1)] * length, length)


def as_training_set(pairs: Any) -> tuple[list[torch.Tensor], list[Example]]:
    rewards, examples = [], []
    for i, pair in enumerate(pairs):
        for side, response in zip(("chosen", "rejected"), pair, strict=True):
            rewards.append(torch.tensor(response))
            examples.append(example(f"{i}{side}", side, response))
    return rewards, examples


def transformed(transform: Any, pairs: Any) -> list[torch.Tensor]:
    rewards, examples = as_training_set(pairs)
    state = transform.fit(rewards, examples)
    return [transform(r, e, state) for r, e in zip(rewards, examples, strict=True)]


def varied(pairs: Any) -> bool:
    """Whether there is a scale to match and a spread to divide by."""
    flat = torch.cat(as_training_set(pairs)[0])
    return bool(flat.std(correction=0) > 1e-3)


def test_every_registered_transform_is_tested_here() -> None:
    assert MANAGER.names("transform") == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=25)
@given(pairs=training_sets.filter(varied))
def test_a_transform_keeps_shape_and_dtype_and_its_input(name: str, pairs: Any) -> None:
    rewards, examples = as_training_set(pairs)
    transform = make(name)
    state = json.loads(json.dumps(transform.fit(rewards, examples)))
    for r, e in zip(rewards, examples, strict=True):
        before = r.clone()
        result = transform(r, e, state)
        assert result.shape == r.shape
        assert result.dtype == torch.float32
        assert torch.isfinite(result).all()
        result.fill_(7.0)  # what the core does to the result must not reach the stored values
        assert torch.equal(r, before)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=25)
@given(pairs=training_sets.filter(varied), data=st.data())
def test_the_order_of_the_training_set_changes_no_bit(name: str, pairs: Any, data: Any) -> None:
    rewards, examples = as_training_set(pairs)
    order = data.draw(st.permutations(range(len(rewards))))
    shuffled = make(name).fit([rewards[i] for i in order], [examples[i] for i in order])
    assert make(name).fit(rewards, examples) == shuffled


@settings(deadline=None, max_examples=50)
@given(response=responses, seed=st.integers(0, 100), include_eos=st.booleans())
def test_permute_keeps_the_values(response: list[float], seed: int, include_eos: bool) -> None:
    permute = make("permute", seed=seed, include_eos=include_eos)
    result = permute(torch.tensor(response), example("u", "chosen", response), {})
    assert sorted(result.tolist()) == sorted(torch.tensor(response).tolist())


@settings(deadline=None, max_examples=50)
@given(pairs=training_sets.filter(varied), target=st.floats(0.01, 100))
def test_rms_gives_the_target_over_the_training_set(pairs: Any, target: float) -> None:
    flat = torch.cat(transformed(make("rms", target=target), pairs)).double()
    assert (flat**2).mean().sqrt().item() == pytest.approx(target, rel=1e-5)


@settings(deadline=None, max_examples=50)
@given(pairs=training_sets.filter(varied))
def test_standardize_gives_mean_zero_and_deviation_one(pairs: Any) -> None:
    flat = torch.cat(transformed(make("standardize"), pairs)).double()
    spread = torch.cat(as_training_set(pairs)[0]).double().std(correction=0).item()
    rounding = 1e-4 * max(1.0, 1 / spread)  # float32 rewards far from 0 with a small spread
    assert flat.mean().item() == pytest.approx(0, abs=rounding)
    assert flat.std(correction=0).item() == pytest.approx(1, abs=rounding)


@settings(deadline=None, max_examples=50)
@given(pairs=training_sets)
def test_sequence_mean_and_centred_response_add_up_to_the_reward(pairs: Any) -> None:
    means = transformed(make("sequence-mean"), pairs)
    rest = transformed(make("center", by="response"), pairs)
    for mean, centred, reward in zip(means, rest, as_training_set(pairs)[0], strict=True):
        torch.testing.assert_close(mean + centred, reward, atol=1e-4, rtol=1e-5)


@settings(deadline=None, max_examples=50)
@given(response=responses, k=st.integers(-30, 30))
def test_roll_is_undone_by_rolling_back(response: list[float], k: int) -> None:
    rewards, e = torch.tensor(response), example("u", "chosen", response)
    assert torch.equal(make("roll", k=-k)(make("roll", k=k)(rewards, e, {}), e, {}), rewards)


@settings(deadline=None, max_examples=50)
@given(response=responses, half=st.integers(0, 20))
def test_smooth_stays_within_the_values_of_the_response(response: list[float], half: int) -> None:
    rewards = torch.tensor(response)
    smooth = make("smooth", window=2 * half + 1)(rewards, example("u", "chosen", response), {})
    assert smooth.max() <= rewards.max() + 1e-4
    assert smooth.min() >= rewards.min() - 1e-4
