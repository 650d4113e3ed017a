"""Two answers to one question: rounding is let through, noise is not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tgdpo_core.errors import PluginError
from tgdpo_core.models.precision import Precision
from tgdpo_core.scoring.repeatability import Repeatability, is_same
from tgdpo_core.scoring.rounding import Rounding, kept_rounding

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


class Collected:
    """A collection that is set aside."""

    def set_aside_whole(self) -> str:
        return "aside"


def in_company(rows: Sequence[int]) -> list[torch.Tensor]:
    """Rewards as small as the rounding, which depends on who is asked together."""
    return [torch.full([2], float(len(rows))) for _ in rows]


def require_same(rows: Sequence[int], once: Any, twice: Any) -> None:
    if not all(is_same(a, b, torch.bfloat16) for a, b in zip(once, twice, strict=True)):
        raise PluginError("asked twice")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_in_coarse_formats_a_batch_is_asked_again_as_it_was(dtype: torch.dtype) -> None:
    calls: list[list[int]] = []

    def answers(rows: Sequence[int]) -> list[torch.Tensor]:
        calls.append(list(rows))
        return in_company(rows)

    kept = Repeatability(answers, require_same, Collected(), lambda: dtype)  # type: ignore[arg-type]
    for start in range(0, 60, 3):
        rows = range(start, start + 3)
        kept.note(rows, in_company(rows))
    if dtype is torch.bfloat16:
        kept.check()
        assert calls == [[45, 46, 47]]  # batch 16 of 20
    else:
        with pytest.raises(
            PluginError, match=r"asked twice It was asked again .* set aside in aside"
        ):
            kept.check()
        assert [len(call) for call in calls] == [4]  # one row of each of four batches


def test_a_reward_that_drifts_is_refused_in_coarse_formats_too() -> None:
    kept = Repeatability(
        lambda rows: [values + 0.5 for values in in_company(rows)],
        require_same,
        Collected(),  # type: ignore[arg-type]
        lambda: torch.bfloat16,
    )
    kept.note([1, 2], in_company([1, 2]))
    with pytest.raises(PluginError, match="asked again"):
        kept.check()


@pytest.mark.parametrize(("rows", "moved"), [([1, 2, 3], 2.0), ([1], 1.0)])
def test_rounding_is_the_change_in_other_company(
    rows: list[int], moved: float, tmp_path: Path
) -> None:
    kept = Repeatability(in_company, require_same, Collected(), lambda: torch.bfloat16)  # type: ignore[arg-type]
    assert kept.rounding() is None  # nothing was computed
    kept.note(rows, in_company(rows))
    rounding = kept.rounding()
    assert rounding == Rounding(moved, len(rows), "bfloat16")
    rounding.keep(tmp_path)
    assert kept_rounding(tmp_path) == rounding


def test_in_float32_no_rounding_is_measured(tmp_path: Path) -> None:
    kept = Repeatability(in_company, require_same, Collected(), lambda: torch.float32)  # type: ignore[arg-type]
    kept.note([1, 2], in_company([1, 2]))
    assert kept.rounding() is None
    assert kept_rounding(tmp_path) is None
