"""The policy's confidence as a token reward, by hand."""

import math

import pytest
import torch

from tgdpo_core import Example
from tgdpo_plugins.token_rewards.confidence import Confidence

P = [0.9, 0.1, 0.5, 0.5]  # mean 0.5


def example() -> Example:
    """Return a response of four tokens with these probabilities."""
    return Example(
        uid="u",
        side="chosen",
        prompt="p",
        response="abcd",
        prompt_ids=[1],
        response_ids=[2, 3, 4, 5],
        offsets=[(0, 1), (1, 2), (2, 3), (3, 4)],
        shared={"policy_logps": torch.tensor(P).log()},
    )


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("selected", [-1.0, 0.0, 0.0, 0.0]),
        ("probability", P),
        ("surprise", [-math.log(p) for p in P]),
    ],
)
def test_each_measure_is_what_it_says(measure: str, expected: list[float]) -> None:
    values = Confidence(measure=measure).score([example()])  # type: ignore[arg-type]
    assert values[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_selected_keeps_at_least_one_token() -> None:
    even = Example(**{**vars(example()), "shared": {"policy_logps": torch.zeros(4)}})
    assert Confidence(measure="selected").score([even])[0].tolist() == [0, 0, 0, 0]
