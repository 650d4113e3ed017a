"""Online rewards that learn: when they are asked to, never unmarked, and exactly after a resume."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from tgdpo_core import Example, TGDPOTrainer, TokenReward, option
from tgdpo_core.errors import CheckpointError, PluginError
from tgdpo_core.scoring.reward_state import read_states
from tgdpo_core.scoring.sources import source_of_instance

MakeTrainer = Callable[..., TGDPOTrainer]


class Head(TokenReward):
    """A linear head on log pi and log pi/pi_ref, trained on the preferences by Adam."""

    dynamic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("reference_logps",)
    rate: float = option(0.05, help="learning rate")
    phases: ClassVar[list[tuple[str, int]]] = []
    ends: ClassVar[list[int]] = []

    def setup(self, context: Any) -> None:
        """Begin at zero."""
        self._w = torch.zeros(2, requires_grad=True)
        self._optimizer = torch.optim.Adam([self._w], lr=self.rate)

    def score(self, batch: Sequence[Example]) -> list[torch.Tensor]:
        """Return the head's values; keep the loss of a training batch for the end of the step."""
        self.phases.append((self.phase, len(batch)))
        features = [
            torch.stack([s["policy_logps"], s["policy_logps"] - s["reference_logps"]], 1)
            for s in (example.shared for example in batch)
        ]
        values = [f @ self._w for f in features]
        if self.phase == "train":
            sums = torch.stack([v.sum() for v in values])
            (-torch.nn.functional.logsigmoid(sums[::2] - sums[1::2])).sum().backward()
        return [v.detach() for v in values]

    def on_step_end(self, step: int) -> None:
        """Learn."""
        self.ends.append(step)
        self._optimizer.step()
        self._optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Return head and optimizer."""
        return {"w": self._w.detach(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: Any) -> None:
        """Take them up."""
        with torch.no_grad():
            self._w.copy_(state["w"])
        self._optimizer.load_state_dict(state["optimizer"])


@pytest.fixture(autouse=True)
def _forget() -> None:
    Head.phases.clear()
    Head.ends.clear()


def final_weights(trainer: TGDPOTrainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def test_it_is_told_what_it_is_asked_for(
    make_trainer: MakeTrainer, small_rows: list[dict[str, Any]]
) -> None:
    trainer = make_trainer(token_reward=Head(), eval_dataset=small_rows[:4])
    assert {phase for phase, _ in Head.phases} == {"statistics"}
    Head.phases.clear()
    trainer.train()
    assert Head.phases == [("train", 8)] * 3
    assert Head.ends == [1, 2, 3]
    Head.phases.clear()
    trainer.evaluate()
    assert {phase for phase, _ in Head.phases} == {"eval"}


def test_a_resumed_run_is_the_same_to_the_last_bit(
    make_trainer: MakeTrainer, log_rows: Callable[..., Any], tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 2}
    whole = make_trainer("whole", token_reward=Head(), **settings)
    whole.train()

    class Stops(Head):
        """Dies in the fourth step."""

        def on_step_end(self, step: int) -> None:
            """Raise."""
            if step == 4:
                raise RuntimeError("dies")
            super().on_step_end(step)

    Stops.__qualname__ = Stops.__name__ = "Head"
    with pytest.raises(PluginError, match="dies"):
        make_trainer("cut", token_reward=Stops(), **settings).train()
    resumed = make_trainer("cut", token_reward=Head(), **settings)
    resumed.train(resume_from_checkpoint=True)
    expected, found = final_weights(whole), final_weights(resumed)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert log_rows(tmp_path / "whole") == log_rows(tmp_path / "cut")
    states = [
        read_states(tmp_path / run / "checkpoints" / "checkpoint-6", 0) for run in ("whole", "cut")
    ]
    assert states[0] is not None
    assert states[1] is not None
    assert torch.equal(states[0]["0:Head"]["w"], states[1]["0:Head"]["w"])
    assert states[0]["0:Head"]["w"].abs().min() > 0
    steps = states[0]["0:Head"]["optimizer"]["state"][0]["step"]
    assert float(steps) == 6


def test_layouts_change_nothing_of_what_is_learnt_at_the_end_of_a_step(
    make_trainer: MakeTrainer,
) -> None:
    found = []
    for i, tokens in enumerate((10_000, 1)):
        trainer = make_trainer(f"run{i}", token_reward=Head(), tokens_per_row=tokens)
        trainer.train()
        assert trainer._online
        found.append(trainer._online._sources[0].state()["w"])
    assert torch.allclose(found[0], found[1], atol=1e-6)


def test_what_was_learnt_outlives_the_end_of_training(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(token_reward=Head())
    trainer.train()
    assert trainer._online
    assert trainer._online._sources[0].state()["w"].abs().min() > 0  # set up again


@pytest.mark.parametrize("phase", ["statistics", "eval"])
def test_learning_outside_of_training_is_refused(
    make_trainer: MakeTrainer, small_rows: list[dict[str, Any]], phase: str
) -> None:
    class Leaks(Head):
        """Learns where it should not."""

        wrong: ClassVar[str] = phase

        def score(self, batch: Sequence[Example]) -> list[torch.Tensor]:
            """Move the head."""
            if self.phase == self.wrong:
                with torch.no_grad():
                    self._w += 0.01
            return super().score(batch)

    with pytest.raises(PluginError, match=rf"'Leaks'.*state changed.*phase '{phase}'"):
        make_trainer(
            token_reward=Leaks(), eval_dataset=small_rows[:2], eval_strategy="steps", eval_steps=1
        ).train()


def test_a_checkpoint_without_its_state_is_refused(
    make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2}
    trainer = make_trainer(token_reward=Head(), **settings)
    trainer.train()
    assert trainer._online
    with pytest.raises(CheckpointError, match=r"no state of.*'Head'.*for process 1"):
        trainer._online.restore(tmp_path / "run" / "checkpoints" / "checkpoint-2", 1)


class HalfSaved(TokenReward):
    """Saves and cannot load."""

    dynamic: ClassVar[bool] = True

    def state_dict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


class Unsaved(TokenReward):
    """Learns and does not save."""

    dynamic: ClassVar[bool] = True

    def on_step_end(self, step: int) -> None:
        """Learn nothing."""


class Stored(Head):
    """Would be stored."""

    dynamic: ClassVar[bool] = False


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (HalfSaved, "lacks load_state_dict"),
        (Unsaved, "lacks state_dict"),
        (Stored, "Say dynamic = True"),
    ],
)
def test_what_could_not_be_resumed_is_refused(reward: type[TokenReward], message: str) -> None:
    class Usable(reward):  # type: ignore[misc, valid-type]
        """With a score."""

        def score_one(self, example: Example) -> list[float]:
            """Return zeros."""
            return [0.0] * len(example.response_ids)

    with pytest.raises(PluginError, match=message):
        source_of_instance(Usable())
