"""Random choice of tokens by noise that is a function of seed, place and token alone.

A token of a distribution p is drawn as the smallest of E_v / p_v with independent exponential E_v,
which is the largest of log p_v - log E_v (the Gumbel-max trick). The noise comes from integers
(splitmix64, whose bits are the same on every device), one stream for each answer, so what else is
drawn in the batch, and in which order, has no part in it. A rounding of p changes the choice only
where the two largest values nearly tie.

Source of the generator: Steele, Lea, Flood (2014), "Fast splittable pseudorandom number
generators", OOPSLA.
"""

import torch

_GOLDEN = -0x61C8864680B583EB  # 0x9E3779B97F4A7C15 as a signed number
_FIRST = -0x40A7B892E31B1A47  # 0xBF58476D1CE4E5B9
_SECOND = -0x6B2FB644ECCEEE15  # 0x94D049BB133111EB
_UNIT = 2.0**-53


def log_exponential(seeds: torch.Tensor, place: int, num_tokens: int) -> torch.Tensor:
    """Return the logarithms of independent exponential variables, [B, num_tokens] float32.

    Args:
        seeds: [B] int64, of each answer.
        place: number of the token that is drawn, from 0.
        num_tokens: size of the vocabulary.
    """
    starts = _mixed(seeds + _signed((place + 1) * _GOLDEN))
    steps = torch.arange(1, num_tokens + 1, device=seeds.device) * _GOLDEN
    bits = _shifted(_mixed(starts[:, None] + steps), 11)
    # Small values decide, and there float32 is fine; log1p keeps them.
    uniform = (bits.to(torch.float32) + 0.5) * _UNIT
    return uniform.neg_().log1p_().neg_().log_()


def _mixed(values: torch.Tensor) -> torch.Tensor:
    """Return the numbers that splitmix64 makes of its states, int64, changed in place."""
    values ^= _shifted(values, 30)
    values *= _FIRST
    values ^= _shifted(values, 27)
    values *= _SECOND
    values ^= _shifted(values, 31)
    return values


def _signed(number: int) -> int:
    """Return a number as 64 bits hold it."""
    return (number + 2**63) % 2**64 - 2**63


def _shifted(values: torch.Tensor, bits: int) -> torch.Tensor:
    """Return values shifted to the right as unsigned numbers."""
    return (values >> bits).bitwise_and_((1 << (64 - bits)) - 1)
