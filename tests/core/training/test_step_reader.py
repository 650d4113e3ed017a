"""The next step is read in a thread, and nobody can tell but by the clock."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from safetensors.torch import load_file
from transformers import TrainerCallback

from tgdpo_core import Example, TGDPOTrainer, TokenReward
from tgdpo_core.errors import PluginError
from tgdpo_core.training.step_reader import StepReader
from tgdpo_plugins.shapings.linear import Linear

MakeTrainer = Callable[..., TGDPOTrainer]
THREAD = "step-reader"
STEPS = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2}  # six an epoch


class Observed(Linear):
    """A linear shaping that notes who calls it, and can fail."""

    callers: ClassVar[set[str]] = set()
    fails_for: ClassVar[Any] = None

    def __call__(self, *rewards: Any) -> Any:
        """Return the weights."""
        name = threading.current_thread().name
        self.callers.add(name)
        if name == THREAD and self.fails_for:
            raise self.fails_for
        return super().__call__(*rewards)


@pytest.fixture
def shaping(monkeypatch: pytest.MonkeyPatch) -> Observed:
    """A shaping that has seen nothing."""
    monkeypatch.setattr(Observed, "callers", set())
    return Observed(alpha=0.1, alpha_chosen=None, alpha_rejected=None)


class EndEarly(TrainerCallback):
    """Ends the run after two steps."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask for the end."""
        control.should_training_stop = state.global_step >= 2


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


def weights(trainer: TGDPOTrainer) -> dict[str, bytes]:
    found = load_file(Path(trainer.args.output_dir) / "model" / "model.safetensors")
    return {name: value.numpy().tobytes() for name, value in found.items()}


def test_steps_are_the_same_with_and_without_a_thread(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch, log_rows: Callable[..., Any]
) -> None:
    ahead, alone = (make_trainer(n, num_train_epochs=2, **STEPS) for n in ("ahead", "alone"))
    ahead.train()
    monkeypatch.setattr(alone, "_may_read_ahead", lambda: False)
    alone.train()
    assert weights(ahead) == weights(alone)
    assert log_rows(ahead.args.output_dir) == log_rows(alone.args.output_dir)


def test_all_steps_but_the_first_of_an_epoch_are_read_in_a_thread(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(num_train_epochs=2, **STEPS)
    read, names = trainer._reader._read, []

    def noted(iterator: Iterator[Any], number: int) -> Any:
        names.append((threading.current_thread() is threading.main_thread(), number))
        return read(iterator, number)

    monkeypatch.setattr(trainer._reader, "_read", noted)
    trainer.train()
    assert names == [(True, 2), *[(False, 2)] * 5] * 2


def test_what_a_plugin_raises_in_the_thread_names_plugin_and_row(
    make_trainer: MakeTrainer, shaping: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(shaping=shaping, **STEPS)
    monkeypatch.setattr(Observed, "fails_for", ValueError("no such weight"))
    with pytest.raises(PluginError, match=r"shaping 'Observed'.*train_dataset\[\d+\].*no such"):
        trainer.train()
    assert trainer.state.global_step == 1  # the step before it is done
    assert not readers()


@pytest.mark.parametrize("ends", [EndEarly(), None])
def test_no_thread_is_left_when_a_run_ends(make_trainer: MakeTrainer, ends: Any) -> None:
    trainer = make_trainer(
        num_train_epochs=3, max_steps=4, callbacks=[ends] if ends else [], **STEPS
    )
    trainer.train()
    assert trainer.state.global_step == (2 if ends else 4)
    assert not readers()


def test_plugins_with_a_time_limit_are_called_in_the_main_thread(
    make_trainer: MakeTrainer, shaping: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TGDPO_PLUGIN_TIMEOUT", "60")
    make_trainer(shaping=shaping, **STEPS).train()
    assert shaping.callers == {threading.main_thread().name}


class Surprise(TokenReward):
    """Made from the policy's log-probs, so at every step."""

    dynamic: ClassVar[bool] = True
    threads: ClassVar[list[threading.Thread]] = []

    def score(self, batch: Sequence[Example]) -> list[Any]:
        """Return the negative log-probs."""
        self.threads += readers()
        return [-example.shared["policy_logps"] for example in batch]


def test_nothing_is_read_while_a_step_calls_a_dynamic_reward(make_trainer: MakeTrainer) -> None:
    make_trainer(token_reward=Surprise(), **STEPS).train()
    assert not Surprise.threads


def test_no_thread_reads_during_an_evaluation(
    make_trainer: MakeTrainer, small_rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(
        eval_dataset=small_rows[:2], eval_strategy="steps", eval_steps=1, **STEPS
    )
    step, reading = trainer.prediction_step, []

    def looked(*args: Any, **kwargs: Any) -> Any:
        reading.extend(readers())
        return step(*args, **kwargs)

    monkeypatch.setattr(trainer, "prediction_step", looked)
    trainer.train()
    assert not reading


def test_an_end_of_the_process_in_the_thread_is_raised_as_it_is() -> None:
    def read(iterator: Iterator[int], number: int) -> int:
        raise SystemExit(3)

    reader = StepReader(read)
    reader.begin(iter(()), 1)
    reader.wait()
    with pytest.raises(SystemExit) as error:
        reader.take(iter(()), 1)
    assert error.value.code == 3


def test_what_was_begun_and_dropped_is_read_no_more() -> None:
    source = iter(range(3))
    reader = StepReader(lambda iterator, number: [next(iterator) for _ in range(number)])
    assert reader.take(source, 1) == [0]
    reader.begin(source, 1)
    reader.drop()
    assert reader.take(source, 1) == [2]
