"""Processes that run tasks: one that dies, GPUs, a parent that is killed or interrupted."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
import torch

from tgdpo_core.errors import UsageError
from tgdpo_core.experiments.executors import LocalExecutor, RayExecutor, visible_gpus
from tgdpo_core.experiments.tasks import Preparation
from tgdpo_core.experiments.work import Settings

HERE = Path(__file__).parent
_SECONDS = 60

Task = Callable[..., Preparation]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose command worker processes can import."""
    monkeypatch.syspath_prepend(str(HERE))
    return Settings(importlib.import_module("task_commands").run, plugin_files=["mine.py"])


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """A function that makes a task of a command; bare names are files of the temporary folder."""

    def make(verb: str, *names: str) -> Preparation:
        paths = [str(tmp_path / name) for name in names]
        return Preparation(verb, [verb, *paths], tmp_path / "-".join(["task", verb, *names]))

    return make


def noted(folder: Path, name: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / name).read_text())
    return facts


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def until(condition: Callable[[], bool]) -> bool:
    """Return whether a condition comes true in time."""
    end = time.monotonic() + _SECONDS
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_one_process_does_one_task_after_the_other(
    task: Task, settings: Settings, tmp_path: Path
) -> None:
    with LocalExecutor(1) as executor:
        for name in "ab":
            assert executor.submit(task("note", name), settings).result().error is None
    first, second = noted(tmp_path, "a"), noted(tmp_path, "b")
    assert first == second
    assert first["pid"] != os.getpid()
    assert first["gpu"] == os.environ.get("CUDA_VISIBLE_DEVICES")
    assert first["plugin_files"] == ["mine.py"]
    assert not is_alive(first["pid"])


def test_a_process_that_dies_fails_its_own_task_and_is_replaced(
    task: Task, settings: Settings, tmp_path: Path
) -> None:
    with LocalExecutor(2) as executor:
        other = executor.submit(task("note", "other", "go"), settings)
        died = executor.submit(task("die"), settings)
        assert isinstance(died.exception(), BrokenProcessPool)
        # Both slots are there again: each of these waits for the other one.
        (tmp_path / "go").touch()
        assert other.result().error is None
        meeting = [executor.submit(task("note", *names), settings) for names in ("ab", "ba")]
        assert [future.result().error for future in meeting] == [None, None]
    assert executor.capacity == 2


def test_a_process_that_died_between_two_tasks_is_replaced(
    task: Task, settings: Settings, tmp_path: Path
) -> None:
    with LocalExecutor(1) as executor:
        executor.submit(task("note", "a"), settings).result()
        pid = noted(tmp_path, "a")["pid"]
        os.kill(pid, signal.SIGKILL)
        assert until(lambda: not Path(f"/proc/{pid}").exists())
        assert executor.submit(task("note", "b"), settings).result().error is None
    assert noted(tmp_path, "b")["pid"] != pid


def test_processes_take_turns_with_the_gpus(task: Task, settings: Settings, tmp_path: Path) -> None:
    with LocalExecutor(3, gpus=("2", "GPU-7")) as executor:
        futures = [executor.submit(task("note", name, "a", "b", "c"), settings) for name in "abc"]
        assert [future.result().error for future in futures] == [None] * 3
        executor.submit(task("die"), settings).exception()
        executor.submit(task("note", "d"), settings).result()
    facts = [noted(tmp_path, name) for name in "abcd"]
    assert [fact["gpu"] for fact in facts[:3]] == ["2", "GPU-7", "2"]
    assert facts[3]["gpu"] in ("2", "GPU-7")
    assert not any(fact["torch"] for fact in facts), "torch is loaded before the GPU is chosen"


@pytest.mark.parametrize(
    ("named", "count", "expected"),
    [
        (None, 0, []),
        (None, 2, ["0", "1"]),
        ("5, 3", 2, ["5", "3"]),
        ("GPU-aa,GPU-bb", 2, ["GPU-aa", "GPU-bb"]),
        ("", 0, []),
        ("0,-1,1", 1, ["0"]),
    ],
)
def test_gpus_are_those_that_this_process_may_use(
    monkeypatch: pytest.MonkeyPatch, named: str | None, count: int, expected: list[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus() == expected


def test_what_a_task_prints_is_kept_in_its_folder(task: Task, settings: Settings) -> None:
    with LocalExecutor(1) as executor:
        said = Preparation("say", ["say", "0"], task("say").folder)
        assert executor.submit(said, settings).result().error is None
        text = (said.folder / "output.txt").read_text()
        assert sorted(text.split("\n")) == ["", "from Python", "from a child", "on stderr"]


def test_a_command_that_fails_is_quoted_with_its_last_line(task: Task, settings: Settings) -> None:
    with LocalExecutor(1) as executor:
        failing = Preparation("say", ["say", "3"], task("say").folder)
        outcome = executor.submit(failing, settings).result()
        assert outcome.exit_code == 5
        assert outcome.error == "tgdpo say 3 ended with exit code 3; it said: from a child"
        outcome = executor.submit(task("dance"), settings).result()
    assert outcome.error == "ValueError: no such command: dance"
    assert outcome.exit_code == 1
    assert "Traceback" in (task("dance").folder / "output.txt").read_text()


def test_a_full_disk_fails_the_task_in_one_line(
    task: Task, settings: Settings, tmp_path: Path
) -> None:
    full = task("say")
    full.folder.mkdir()
    (full.folder / "output.txt").symlink_to("/dev/full")
    with LocalExecutor(1) as executor:
        outcome = executor.submit(Preparation("say", ["say", "0"], full.folder), settings).result()
        assert executor.submit(task("note", "a"), settings).result().error is None
    assert outcome.error is not None
    assert "[Errno 28] No space left on device" in outcome.error
    assert "\n" not in outcome.error
    assert outcome.exit_code == 5


# -- the end of the parent ------------------------------------------------------------------------


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    """A program with two busy workers, and their process ids."""
    command = [sys.executable, str(HERE / "task_commands.py"), str(tmp_path)]
    # Tests that were started in the background ignore interrupts, and so would the program.
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as program:
        files = [tmp_path / f"{i}.json" for i in range(2)]
        assert until(lambda: all(file.exists() and file.read_text() for file in files))
        pids = [noted(tmp_path, file.name)["pid"] for file in files]
        assert all(is_alive(pid) for pid in pids)
        yield program, pids
        program.kill()


def test_workers_end_when_their_parent_is_killed(busy: Any) -> None:
    program, pids = busy
    program.kill()
    program.wait()
    assert until(lambda: not any(is_alive(pid) for pid in pids))


def test_an_interrupt_ends_the_workers(busy: Any) -> None:
    program, pids = busy
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=_SECONDS)
    assert not any(is_alive(pid) for pid in pids)
    assert program.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "RuntimeError" not in errors


# -- Ray ------------------------------------------------------------------------------------------


def test_ray_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"needs Ray: pip install 'tgdpo\[ray\]'"):
        RayExecutor("auto")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "at 127.0.0.1:1: [Errno 111] Connection refused. Start one with"),
        ("nonsense", "Invalid address format: nonsense. Start one with `ray start --head`"),
    ],
)
def test_no_ray_cluster_is_said_at_once(address: str, message: str) -> None:
    pytest.importorskip("ray")
    start = time.monotonic()
    with pytest.raises(UsageError) as caught:
        RayExecutor(address)
    assert message in str(caught.value)
    assert time.monotonic() - start < 30


def test_a_stale_ray_address_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UsageError, match=r"at auto: .*Connection refused"):
        RayExecutor("auto")
