"""The token reward that is fitted to which response is preferred."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tgdpo_core import Example
from tgdpo_core.testing import TokenRewardContract
from tgdpo_plugins.token_rewards.bag_of_tokens import BagOfTokens, fitted


class TestBagOfTokens(TokenRewardContract):
    plugin = BagOfTokens()


def responses(*pairs: tuple[list[int], list[int]]) -> list[Example]:
    return [
        Example(f"{i}{side}", side, "p", "r", [0], ids, [(0, 1)] * len(ids))
        for i, pair in enumerate(pairs)
        for side, ids in zip(("chosen", "rejected"), pair, strict=True)
    ]


def context(folder: Path) -> Any:
    return SimpleNamespace(tokenizer=range(5), artifacts=folder)


def test_tokens_of_preferred_responses_are_worth_more(tmp_path: Path) -> None:
    reward = BagOfTokens()
    examples = responses(([1, 3], [2, 3]), ([1, 1, 3], [2]), ([1], [3, 2]))
    reward.prepare(context(tmp_path), examples)
    reward.setup(context(tmp_path))
    good, bad, unseen = (reward.score(responses(([i], [4])))[0].item() for i in (1, 2, 4))
    assert good > 0 > bad
    assert unseen == 0.0


def test_the_values_are_at_the_minimum() -> None:
    generator = np.random.default_rng(0)
    differences = csr_matrix(generator.integers(-2, 3, (30, 6)).astype(float))
    values = fitted(differences, 0.7)
    margins = differences @ values
    gradient = 0.7 * values - differences.T @ (1 / (1 + np.exp(margins)))
    assert np.abs(gradient).max() < 1e-3


def test_one_pair_by_hand() -> None:
    # v = (a, -a): 1 / (1 + e^(2a)) = penalty * a; at a = 0.5, penalty 0.537883.
    values = fitted(csr_matrix([[1.0, -1.0]]), (1 / (1 + np.e)) / 0.5)
    assert values == pytest.approx([0.5, -0.5], abs=1e-4)


@pytest.mark.parametrize("penalty", [0.0, -1.0, float("nan")])
def test_a_penalty_without_a_minimum_is_refused(penalty: float) -> None:
    with pytest.raises(ValueError, match="penalty must be above 0"):
        BagOfTokens(penalty=penalty)


def test_examples_that_are_no_pairs_are_refused(tmp_path: Path) -> None:
    examples = responses(([1], [2]), ([3], [4]))
    with pytest.raises(ValueError, match="a rejected behind each chosen"):
        BagOfTokens().prepare(context(tmp_path), examples[1:3])
