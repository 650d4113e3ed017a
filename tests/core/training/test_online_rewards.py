"""Dynamic sources: the policy's log-probs of the step, added to stored rewards, never stored."""

import asyncio
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from tgdpo_core import Example, TGDPOTrainer, TokenReward
from tgdpo_core.errors import PluginError
from tgdpo_plugins.shapings.symmetric import Symmetric
from tgdpo_plugins.transforms.rms import Rms
from tgdpo_plugins.transforms.scale import Scale

MakeTrainer = Callable[..., TGDPOTrainer]


class Surprise(TokenReward):
    """-log pi; keeps what it was given."""

    dynamic: ClassVar[bool] = True
    seen: ClassVar[list[Example]] = []
    torn_down: ClassVar[list[bool]] = []

    def score(self, batch: Sequence[Example]) -> list[torch.Tensor]:
        """Return the negative log-probs."""
        self.seen.extend(batch)
        return [-example.shared["policy_logps"] for example in batch]

    def teardown(self) -> None:
        """Note it."""
        self.torn_down.append(True)


class Wrong(TokenReward):
    """Breaks its promise at the second step."""

    dynamic: ClassVar[bool] = True

    def score(self, batch: Sequence[Example]) -> list[torch.Tensor]:
        """Return NaN once the policy has moved."""
        moved = [e.shared["policy_logps"] - e.shared["reference_logps"] for e in batch]
        return [torch.where(m.abs() > 1e-4, torch.nan, 0.0) for m in moved]


class Stored(TokenReward):
    """A constant, stored as ever."""

    def score(self, batch: Sequence[Example]) -> list[list[float]]:
        """Return 0.25 for every token."""
        return [[0.25] * len(example.response_ids) for example in batch]


@pytest.fixture(autouse=True)
def _forget() -> None:
    Surprise.seen.clear()
    Surprise.torn_down.clear()


def rewards(trainer: TGDPOTrainer) -> list[float]:
    """Return the mean token reward of every logged step."""
    rows = trainer.state.log_history
    return [row["token_reward/mean"] for row in rows if "token_reward/mean" in row]


def test_the_first_step_sees_the_reference_and_later_ones_the_policy(
    make_trainer: MakeTrainer,
) -> None:
    # The page of a run asks dynamic rewards, too: as statistics.
    trainer = make_trainer(token_reward=Surprise(), num_train_epochs=2, write_report=False)
    before = trainer.train_dataset
    start = [torch.isnan(pair.weights).all() for pair in before]
    assert all(start)
    at_start = trainer._facts["diagnostics"]["rewards"][-1]["mean"]
    Surprise.seen.clear()
    trainer.train()
    found = rewards(trainer)
    assert found[0] != pytest.approx(found[-1], abs=1e-3)
    first = [e for e in Surprise.seen if e.uid == Surprise.seen[0].uid]
    assert len(first) == 2  # once an epoch: one forward serves reward and loss
    assert not torch.equal(first[0].shared["policy_logps"], first[1].shared["policy_logps"])
    assert torch.allclose(
        first[0].shared["policy_logps"], first[0].shared["reference_logps"], atol=1e-5
    )
    assert math.isfinite(at_start)


def test_weights_follow_the_log_probs_of_the_step(make_trainer: MakeTrainer) -> None:
    shaping = Symmetric(alpha=0.1, alpha_chosen=None, alpha_rejected=None)
    trainer = make_trainer(token_reward=Surprise(), shaping=shaping)
    trainer.train()
    row = next(row for row in trainer.state.log_history if "weights/mean_chosen" in row)
    mean = (row["weights/mean_chosen"] + row["weights/mean_rejected"]) / 2
    assert mean == pytest.approx(1 + 0.1 * row["token_reward/mean"], rel=0.02)
    assert mean > 1.1


def test_stored_rewards_are_added(make_trainer: MakeTrainer) -> None:
    alone = make_trainer("alone", token_reward=Surprise())
    both = make_trainer("both", token_reward=[Surprise(), Stored()])
    difference = (
        both._facts["diagnostics"]["rewards"][-1]["mean"]
        - alone._facts["diagnostics"]["rewards"][-1]["mean"]
    )
    assert difference == pytest.approx(0.25, abs=1e-5)


def test_nothing_dynamic_is_stored(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(token_reward=Surprise())
    assert list(trainer._facts["store"]["passes"]) == ["reference_logps"]


def test_micro_batches_and_rows_change_no_number(make_trainer: MakeTrainer) -> None:
    settings: list[dict[str, Any]] = [
        {"per_device_train_batch_size": 4, "tokens_per_row": 10_000},
        {
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": 4,
            "tokens_per_row": 1,
            "layout": "pad",
        },
    ]
    logged = []
    for i, setting in enumerate(settings):
        trainer = make_trainer(f"run{i}", token_reward=Surprise(), **setting)
        trainer.train()
        logged.append(rewards(trainer))
    assert logged[0] == pytest.approx(logged[1], abs=1e-5)


def test_evaluation_uses_the_policy_of_the_moment(
    make_trainer: MakeTrainer, small_rows: list[dict[str, Any]]
) -> None:
    trainer = make_trainer(token_reward=Surprise(), eval_dataset=small_rows[:4])
    before = trainer.evaluate()["eval_token_reward/mean"]
    trainer.train()
    assert trainer.evaluate()["eval_token_reward/mean"] != pytest.approx(before, abs=1e-3)


def test_what_the_source_loaded_is_freed_after_training(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(token_reward=Surprise())
    assert not Surprise.torn_down
    trainer.train()
    assert Surprise.torn_down == [True]


def test_values_are_checked_at_every_step(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(token_reward=Wrong(), num_train_epochs=2)
    with pytest.raises(PluginError, match=r"'Wrong'.*train_dataset\[\d+\].*not finite"):
        trainer.train()


def test_a_transform_of_one_response_is_applied(make_trainer: MakeTrainer) -> None:
    plain = make_trainer("plain", token_reward=Surprise())
    scaled = make_trainer("scaled", token_reward=Surprise(), transforms=[Scale(factor=3.0)])
    ratio = (
        scaled._facts["diagnostics"]["rewards"][-1]["mean"]
        / plain._facts["diagnostics"]["rewards"][-1]["mean"]
    )
    assert ratio == pytest.approx(3, rel=1e-5)


def test_a_transform_that_needs_the_training_set_is_refused(make_trainer: MakeTrainer) -> None:
    with pytest.raises(PluginError, match="'Rms' is fitted on the training set"):
        make_trainer(token_reward=Surprise(), transforms=[Rms(target=1.0)])


def test_the_run_says_that_the_source_is_dynamic(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(token_reward=Surprise())
    trainer.train()
    record = trainer._folder.read()
    assert [source["dynamic"] for source in record["reward_sources"]] == [True]
    assert Path(trainer._folder.model).is_dir()


class Awaited(Surprise):
    """The same from a method that waits."""

    async def score(self, batch: Sequence[Example]) -> list[torch.Tensor]:  # type: ignore[override]
        """Return the negative log-probs after a moment."""
        await asyncio.sleep(0.001)
        return [-example.shared["policy_logps"] for example in batch]


def test_one_that_waits_gives_the_same(make_trainer: MakeTrainer) -> None:
    logged = []
    for run, reward in (("plain", Surprise()), ("awaited", Awaited())):
        trainer = make_trainer(run, token_reward=reward)
        trainer.train()
        logged.append(rewards(trainer))
    assert logged[0] == logged[1]
