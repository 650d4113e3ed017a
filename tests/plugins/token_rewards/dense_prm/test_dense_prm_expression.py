"""Scales and placements, by hand."""

import math

import numpy as np
import pytest

from tgdpo_plugins.token_rewards.dense_prm.expression import express, place_steps

LOGITS = np.array([0.0, math.log(3), -math.log(3), 50.0, -800.0])


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("prob", [0.5, 0.75, 0.25, 1.0, 0.0]),
        ("signed", [0.0, 0.5, -0.5, 1.0, -1.0]),
        ("logit", [0.0, math.log(3), -math.log(3), math.log(99), -math.log(99)]),
        ("value", LOGITS.tolist()),
    ],
)
def test_a_probability_is_expressed_on_each_scale(output: str, expected: list[float]) -> None:
    found = express(LOGITS, output, clip=0.01)  # type: ignore[arg-type]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


# Two steps on six tokens: characters 0-3 and 4-6, then EOS without a character.
OFFSETS = [(0, 1), (1, 3), (3, 5), (5, 6), (6, 7), (7, 7)]
ENDS = [4, 7]
VALUES = np.array([2.0, -1.0])


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        # the third token holds the last character of step one and the first of step two: its own
        # last character is in step two
        ("broadcast", [2, 2, -1, -1, -1, -1]),
        ("delta", [1.5, 1.5, -3, -3, -3, -3]),
        ("spread", [1, 1, -0.25, -0.25, -0.25, -0.25]),
        ("last", [0, 2, 0, 0, 0, -1]),
    ],
)
def test_steps_land_on_their_tokens(placement: str, expected: list[float]) -> None:
    found = place_steps(VALUES, ENDS, OFFSETS, placement, neutral=0.5)  # type: ignore[arg-type]
    assert found.tolist() == pytest.approx(expected)


def test_a_step_within_one_token_gives_its_value_to_the_next() -> None:
    found = place_steps(
        np.array([1.0, 2.0, 4.0]), [1, 2, 6], [(0, 4), (4, 6)], "spread", neutral=0.0
    )
    assert found.tolist() == [3.5, 3.5]


@pytest.mark.parametrize(("placement", "expected"), [("broadcast", 0.5), ("last", 0.0)])
def test_a_response_without_steps_is_neutral(placement: str, expected: float) -> None:
    none = np.zeros(0)
    found = place_steps(none, [], [(0, 1), (1, 1)], placement, neutral=0.5)  # type: ignore[arg-type]
    assert found.tolist() == [expected, expected]


def test_a_step_that_ends_inside_a_token_keeps_its_value() -> None:
    # the step of the first two characters has one token of its own; the second token straddles
    found = place_steps(np.array([1.0, 4.0]), [2, 4], [(0, 1), (1, 4)], "last", neutral=0.0)
    assert found.tolist() == [1.0, 4.0]
