"""Axes: round ticks within the range, values to places."""

import math

import pytest

from tgdpo_core.reports.axes import axis, label, tick_labels, ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-3.0, 7.0, [-2.0, 0.0, 2.0, 4.0, 6.0]),
        (0.0, 1.5e-4, [0.0, 5e-5, 1e-4, 1.5e-4]),
    ],
)
def test_ticks_are_round_and_within_the_range(
    low: float, high: float, expected: list[float]
) -> None:
    assert ticks(low, high, 5) == pytest.approx(expected)


def test_values_that_are_not_finite_do_not_move_an_axis() -> None:
    plain = axis([1.0, 2.0], 0, 100, most=5, pad=0.0)
    assert axis([1.0, math.nan, 2.0, math.inf], 0, 100, most=5, pad=0.0) == plain


@pytest.mark.parametrize("value", [0.0, 1.0, -2e-6, 1e30])
def test_an_axis_of_one_value_has_room_on_both_sides(value: float) -> None:
    found = axis([value, value], 0, 100, most=5, pad=0.1)
    assert found.place(value) == pytest.approx(50)
    assert found.ticks


def test_an_axis_without_any_value_is_an_axis() -> None:
    assert axis([], 0, 100, most=5, pad=0.1).place(0.0) == pytest.approx(50)


def test_labels_are_short_with_a_real_minus_and_no_negative_zero() -> None:
    assert [label(v) for v in (-0.0, -1.23456, 1e-5)] == [
        "0",
        "\N{MINUS SIGN}1.235",
        "1e\N{MINUS SIGN}05",
    ]


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([0.0, 0.5, 1.0], ["0", "0.5", "1"]),
        ([-0.05, 0.0, 0.05], ["-0.05", "0", "0.05"]),
        ([5e-5, 1e-4, 1.5e-4], ["5e-5", "1e-4", "1.5e-4"]),
        ([0.0, 2e-7], ["0", "2e-7"]),
        ([0.0, 4e5, 1.2e6], ["0", "4e5", "1.2e6"]),
        ([], []),
    ],
)
def test_labels_of_ticks_are_short(ticks: list[float], labels: list[str]) -> None:
    assert [each.replace("\N{MINUS SIGN}", "-") for each in tick_labels(ticks)] == labels
