"""Several processes of one command: how many, signals passed on, one exit code."""

import atexit
import logging
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from torch import distributed

from tgdpo_cli import main
from tgdpo_core.errors import MachineError, UsageError
from tgdpo_core.launching import Launch, is_in_process_group, launch, leave_process_group

MODULE = "tests.core.launched"


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The module is found; nobody's own accelerate config is."""
    monkeypatch.chdir(Path(__file__).parents[2])
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(
        "accelerate.commands.config.config_args.default_config_file", str(tmp_path / "none.yaml")
    )


def test_all_processes_run_and_know_how_many_they_are(tmp_path: Path) -> None:
    assert launch(MODULE, ["ends", str(tmp_path)], Launch(3)) == 0
    assert {path.name for path in tmp_path.glob("rank-*")} == {f"rank-{i}-of-3" for i in range(3)}


@pytest.mark.parametrize(
    ("given", "expected"), [(None, "4"), ("3", "3")], ids=["shared out", "as they are set"]
)
def test_processes_share_the_cores_of_the_machine(
    given: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert launch(MODULE, ["ends", str(tmp_path)], Launch(2)) == 0
    assert [path.name for path in tmp_path.glob("threads-*")] == [f"threads-{expected}"]


def test_the_exit_code_is_that_of_the_process_that_failed(tmp_path: Path) -> None:
    assert launch(MODULE, ["fails", str(tmp_path)], Launch(2)) == 3


def test_a_killed_process_ends_the_others_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"local rank 1.*SIGKILL.*--resume"):
        launch(MODULE, ["killed", str(tmp_path)], Launch(2))


@pytest.mark.parametrize(
    ("case", "code"), [("saves", 75), ("sleeps", 128 + signal.SIGTERM)], ids=["heard", "unheard"]
)
def test_a_signal_reaches_every_process_which_are_waited_for(
    case: str, code: int, tmp_path: Path
) -> None:
    def tell() -> None:
        while len(list(tmp_path.glob("rank-*"))) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    teller = threading.Thread(target=tell)
    teller.start()
    assert launch(MODULE, [case, str(tmp_path)], Launch(2)) == code
    teller.join()
    stopped = {path.name for path in tmp_path.glob("stopped-*")}
    assert stopped == ({"stopped-0", "stopped-1"} if case == "saves" else set())
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_config_says_how_many_processes_there_are(tmp_path: Path) -> None:
    config = tmp_path / "ddp.yaml"
    config.write_text("distributed_type: MULTI_GPU\nnum_processes: 2\nnum_machines: 1\n")
    assert launch(MODULE, ["ends", str(tmp_path)], Launch(config=config)) == 0
    assert len(list(tmp_path.glob("rank-*-of-2"))) == 2


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("distributed_type: DEEPSPEED\n", {}, "DeepSpeed is not supported; use FSDP2"),
        ("distributed_type: XLA\n", {}, "distributed_type XLA is not supported"),
        ("- a list\n", {}, "holds no settings"),
        ("distributed_type: [\n", {}, "cannot be read"),
        ("distributed_type: FSDP\n", {"machin_rank": "1"}, "Did you mean 'machine_rank'"),
        ("distributed_type: FSDP\n", {"module": "x"}, "module: no option"),
    ],
)
def test_what_cannot_be_started_is_refused(
    content: str, options: dict[str, str], message: str, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(content)
    with pytest.raises(UsageError, match=message):
        launch(MODULE, ["ends", str(tmp_path)], Launch(2, config, options))
    assert not list(tmp_path.glob("rank-*"))


def test_a_process_leaves_its_group_at_the_end_and_does_not_mind_if_there_is_none() -> None:
    leave_process_group()
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    assert is_in_process_group()
    leave_process_group()
    assert not is_in_process_group()


@pytest.mark.parametrize("code", [0, 6])
def test_a_command_that_ends_leaves_no_thread_to_abort_it(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: None)
    monkeypatch.setattr(logging, "shutdown", lambda: None)
    monkeypatch.setattr(main, "run", lambda command: code)
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        with pytest.raises(SystemExit) as end:
            main.main(["--version"])
        assert end.value.code == code
        assert (ended, is_in_process_group()) == (([], False) if code == 0 else ([code], True))
    finally:
        leave_process_group()
