from typing import Any

import pytest
import torch
from tgdpo_distribution import register_losses, register_token_rewards
from tgdpo_distribution.rewards import Entropy, SequentialKL
from tgdpo_distribution.total_variation import DpoTV

from tgdpo_core.testing import LossContract, TokenRewardContract


class TestEntropy(TokenRewardContract):
    plugin = Entropy(factor=2.0)


class TestSequentialKL(TokenRewardContract):
    plugin = SequentialKL()


class TestDpoTV(LossContract):
    plugin = DpoTV(strength=0.5)


def test_total_variation_is_half_of_what_differs() -> None:
    p, q = torch.tensor([[0.5, 0.5, 1e-9]]), torch.tensor([[0.25, 0.5, 0.25]])
    assert DpoTV().over_vocabulary(p.log(), q.log())["tv"].item() == pytest.approx(0.25)


def test_the_names_are_registered() -> None:
    registered: dict[str, Any] = {}
    register_token_rewards(registered.__setitem__)
    register_losses(registered.__setitem__)
    assert set(registered) == {"entropy", "sequential-kl", "dpo-tv"}
