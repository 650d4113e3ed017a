"""K4: a stop signal saves and ends with 75; the resumed run is the run that nothing happened to."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from tgdpo_core import Judge, TGDPOTrainer
from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.report import DataReport
from tgdpo_core.errors import Preempted
from tgdpo_core.generation.sampling import Sampling
from tgdpo_core.training.durability.signals import stop_signals, stopping_is
from tgdpo_core.training.judging import Judging

Build = Callable[..., TGDPOTrainer]


@pytest.fixture(autouse=True)
def _signals_act() -> Iterator[None]:
    """A test run that was itself started in the background ignores some of them."""
    actions: dict[int, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGHUP: signal.SIG_DFL,
        signal.SIGTERM: signal.SIG_DFL,
    }
    before = {number: signal.signal(number, action) for number, action in actions.items()}
    yield
    for number, action in before.items():
        signal.signal(number, action)


def send(name: str) -> None:
    os.kill(os.getpid(), getattr(signal, name))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_K4_the_first_signal_finishes_the_step_and_saves(
    name: str, tmp_path: Path, build: Build, at: Any, record: Callable[[Path], dict[str, Any]]
) -> None:
    trainer = build(tmp_path / "run", callbacks=[at(2, lambda: send(name))])
    with pytest.raises(Preempted, match=rf"{name} after step 3; checkpoint-3 is saved") as caught:
        trainer.train()
    assert caught.value.exit_code == 75
    found = record(tmp_path / "run")
    assert (found["status"], found["exit_code"]) == ("preempted", 75)
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize("step", [0, 2, 3, 5])
def test_K4_a_preempted_run_resumes_exactly(
    step: int,
    tmp_path: Path,
    whole: Path,
    build: Build,
    at: Any,
    require_equal: Callable[..., None],
) -> None:
    with pytest.raises(Preempted):
        build(tmp_path / "run", callbacks=[at(step, lambda: send("SIGTERM"))]).train()
    build(tmp_path / "run").train(resume_from_checkpoint=True)
    require_equal(tmp_path / "run", whole)


class Length(Judge):
    """Length of the answer; sends a signal when it is asked for the second time."""

    calls = 0
    sends = True

    def score(self, batch: Sequence[Any]) -> list[float]:
        type(self).calls += 1
        if self.sends and type(self).calls == 2:
            send("SIGTERM")
        return [float(len(item.response)) for item in batch]


@pytest.fixture
def judging(small_rows: list[dict[str, Any]]) -> Callable[[bool], Judging]:
    """A function: the judging of two prompts at epoch ends, with a signal in the second or not."""

    def make(sends: bool) -> Judging:
        rows = [(f"row {i}", row) for i, row in enumerate(small_rows[:2])]
        pairs = parse_rows(rows, DataReport("rows"))
        judge = Length()
        Length.calls, Length.sends = 0, sends
        sampling = Sampling(max_new_tokens=4, samples=0, greedy=True)
        return Judging("length", judge, pairs, sampling, batch_size=2)

    return make


def test_K4_a_signal_while_answers_are_judged_ends_at_once_and_loses_nothing(
    tmp_path: Path, build: Build, judging: Callable[[bool], Judging], require_equal: Any
) -> None:
    build(tmp_path / "a", judging=judging(False)).train()
    with pytest.raises(Preempted, match="after step 3; checkpoint-3 is saved"):
        build(tmp_path / "b", judging=judging(True)).train()
    build(tmp_path / "b", judging=judging(False)).train(resume_from_checkpoint=True)
    require_equal(tmp_path / "b", tmp_path / "a")


class InEvaluation(TrainerCallback):
    """Sends a signal in the evaluation of a step."""

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 4:
            send("SIGTERM")


def test_K4_a_signal_in_an_evaluation_ends_it_and_it_is_done_after_the_resume(
    tmp_path: Path, build: Build, small_rows: list[dict[str, Any]], require_equal: Any
) -> None:
    settings = {
        "eval_dataset": [{**row, "prompt": f"Held out. {row['prompt']}"} for row in small_rows[:6]],
        "eval_strategy": "steps",
        "eval_steps": 2,
        "per_device_eval_batch_size": 2,
    }
    build(tmp_path / "a", **settings).train()
    with pytest.raises(Preempted, match="after step 4; checkpoint-4 is saved"):
        build(tmp_path / "b", callbacks=[InEvaluation()], **settings).train()
    build(tmp_path / "b", **settings).train(resume_from_checkpoint=True)
    require_equal(tmp_path / "b", tmp_path / "a")


class InSave(TrainerCallback):
    """Sends a signal when a save has just been made."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 4:
            send("SIGTERM")


def test_K4_a_signal_in_a_save_lets_it_finish(
    tmp_path: Path, whole: Path, build: Build, require_equal: Any
) -> None:
    with pytest.raises(Preempted):
        build(tmp_path / "run", callbacks=[InSave()]).train()
    build(tmp_path / "run").train(resume_from_checkpoint=True)
    require_equal(tmp_path / "run", whole)


def test_K4_a_second_signal_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    with stop_signals() as stop:
        send("SIGTERM")
        assert stop.received == "SIGTERM"
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 2)
        with pytest.raises(KeyboardInterrupt):
            send("SIGTERM")


def test_K4_what_a_launcher_sends_twice_is_one_request() -> None:
    with stop_signals() as stop:
        send("SIGINT")
        send("SIGTERM")
    assert stop.received == "SIGINT"


def test_K4_a_signal_before_training_says_what_is_kept() -> None:
    message = r"Stopped by SIGTERM\. What was scored is kept"
    with pytest.raises(Preempted, match=message), stopping_is("What was scored is kept."):
        send("SIGTERM")


def test_K4_signals_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_signals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
