"""The kit sees what an online reward forgets, and where it learns what it must not."""

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
import torch

from tgdpo_core import Example, TokenReward
from tgdpo_core.testing import TokenRewardContract


class Mean(TokenReward):
    """log pi minus the mean that it has seen in training."""

    dynamic: ClassVar[bool] = True

    def setup(self, context: Any) -> None:
        """Begin at zero."""
        self._mean, self._rate = torch.zeros(()), 0.5

    def score(self, batch: Sequence[Example]) -> list[torch.Tensor]:
        """Return the differences."""
        if self.phase == "train":
            self._learn(batch)
        return [e.shared["policy_logps"] - self._mean for e in batch]

    def _learn(self, batch: Sequence[Example]) -> None:
        seen = torch.cat([e.shared["policy_logps"] for e in batch]).mean()
        self._mean = self._mean + self._rate * (seen - self._mean)
        self._rate /= 2

    def state_dict(self) -> dict[str, Any]:
        """Return all of it."""
        return {"mean": self._mean, "rate": self._rate}

    def load_state_dict(self, state: Any) -> None:
        """Take it up."""
        self._mean, self._rate = state["mean"], state.get("rate", 0.5)


class Forgets(Mean):
    """Saves a part."""

    def state_dict(self) -> dict[str, Any]:
        """Return the mean without the rate."""
        return {"mean": self._mean}


class Always(Mean):
    """Learns from everything."""

    def score(self, batch: Sequence[Example]) -> list[torch.Tensor]:
        """Learn, whatever for."""
        self._learn(batch)
        return super().score(batch)


class Unsaved(Mean):
    """Has no state to save."""

    state_dict = TokenReward.state_dict  # type: ignore[assignment]
    load_state_dict = TokenReward.load_state_dict


def contract(reward: TokenReward) -> TokenRewardContract:
    made = TokenRewardContract()
    made.plugin = reward
    return made


def test_a_reward_that_can_be_resumed_passes() -> None:
    contract(Mean()).test_it_learns_in_training_alone_and_can_be_resumed()


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (Forgets, "one step after load_state_dict"),
        (Always, "state changed in the phase 'statistics'"),
        (Unsaved, "no state_dict and load_state_dict"),
    ],
)
def test_what_could_not_is_named(reward: type[TokenReward], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        contract(reward()).test_it_learns_in_training_alone_and_can_be_resumed()
