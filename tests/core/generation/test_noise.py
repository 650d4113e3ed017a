"""Noise of the seeded choice: known numbers of the generator, and its distribution."""

import math

import pytest
import torch

from tgdpo_core.generation.choosing import likeliest
from tgdpo_core.generation.noise import _mixed, _signed, log_exponential


def splitmix64(state: int) -> int:
    """Return the output for a state, by Python's whole numbers (the published C code)."""
    mask = 2**64 - 1
    z = state & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


@pytest.mark.parametrize("state", [0, 1, 2**63 - 1, 2**63, 2**64 - 1, 0x9E3779B97F4A7C15])
def test_the_bits_are_those_of_splitmix64(state: int) -> None:
    found = int(_mixed(torch.tensor([_signed(state)]))[0])
    assert found % 2**64 == splitmix64(state)


def test_the_first_outputs_for_seed_0_are_the_published_ones() -> None:
    golden = 0x9E3779B97F4A7C15
    states = torch.tensor([_signed(golden), _signed(2 * golden)])
    first, second = (int(value) % 2**64 for value in _mixed(states))
    assert (first, second) == (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4)


def test_the_noise_is_exponential() -> None:
    noise = log_exponential(torch.arange(200), 3, 1000).double().exp()
    assert noise.mean().item() == pytest.approx(1, abs=0.01)
    for quantile in (1e-4, 0.01, 0.5, 0.99):
        expected = -math.log1p(-quantile)
        share = (noise < expected).double().mean().item()
        assert share == pytest.approx(quantile, abs=5 * (quantile / noise.numel()) ** 0.5)


def test_seeds_places_and_tokens_have_noise_of_their_own() -> None:
    seeds = torch.tensor([1, 2, 3])
    draws = torch.stack([log_exponential(seeds, place, 500) for place in range(4)])
    flat = draws.reshape(12, 500)
    correlations = torch.corrcoef(flat) - torch.eye(12)
    assert correlations.abs().max() < 0.25
    assert len(flat.unique()) == flat.numel()


def test_a_row_has_the_same_noise_in_every_batch() -> None:
    alone = log_exponential(torch.tensor([2**47 + 5]), 9, 300)
    among = log_exponential(torch.tensor([7, 2**47 + 5, 0]), 9, 300)
    assert torch.equal(alone[0], among[1])


def test_the_likeliest_tokens_reach_the_share_with_the_last_of_them() -> None:
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.97, 0.01, 0.01, 0.01]]).log()
    kept = likeliest(logits, 0.65).isfinite()
    assert kept.tolist() == [[False, True, False, True], [True, False, False, False]]
    torch.testing.assert_close(likeliest(logits, 0.65)[kept], logits[kept])
