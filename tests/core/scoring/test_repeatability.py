"""Two answers to one question: rounding is let through, noise is not."""

import pytest
import torch

from tgdpo_core.models.precision import Precision
from tgdpo_core.scoring.repeatability import is_same

VALUES = torch.randn(400, generator=torch.Generator().manual_seed(0)) + 1.0
NOISE = torch.randn(400, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("dtype", "noise", "expected"),
    [
        (torch.float32, 1e-4, True),
        (torch.float32, 0.03, False),
        (torch.bfloat16, 0.03, True),
        (torch.float16, 0.03, True),
        (torch.bfloat16, 0.15, False),
        (torch.bfloat16, 1.0, False),
    ],
)
def test_rounding_of_the_format_is_no_noise(
    dtype: torch.dtype, noise: float, expected: bool
) -> None:
    assert is_same(VALUES, VALUES + noise * NOISE, dtype) is expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_values_and_zeros_are_the_same_and_a_change_from_zero_is_not(
    dtype: torch.dtype,
) -> None:
    assert is_same(torch.zeros(0), torch.zeros(0), dtype)
    assert is_same(torch.zeros(3), torch.zeros(3), dtype)
    assert not is_same(torch.zeros(3), torch.ones(3), dtype)


@pytest.mark.parametrize(
    ("weights", "autocast", "expected"),
    [
        (torch.float32, None, torch.float32),
        (torch.float32, torch.bfloat16, torch.bfloat16),
        (torch.bfloat16, None, torch.bfloat16),
        (torch.float64, None, torch.float64),
    ],
)
def test_products_are_in_the_coarser_format(
    weights: torch.dtype, autocast: torch.dtype | None, expected: torch.dtype
) -> None:
    assert Precision(weights, autocast).computes_in is expected
