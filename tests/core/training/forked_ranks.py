"""Processes of one run, forked from the test's: libraries are imported once, by it.

A launcher's processes are new ones; that these are the same is shown by `make prove-ranks` and by
the tests of `--num-processes`.
"""

import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from tgdpo_core.launching import leave_process_group

_PATIENCE_SECONDS = 400


def run_forked(world_size: int, work: Callable[[], object], output: Path) -> list[int]:
    """Run a function in every process and return exit codes (negative: of a signal).

    Args:
        world_size: number of processes.
        work: what each of them does.
        output: folder for what they print, ``rank-N.txt``.
    """
    output.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    size = str(world_size)
    world = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    world |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    sys.stdout.flush()
    pids = [
        _fork(work, output / f"rank-{rank}.txt", {**world, "RANK": str(rank)})
        for rank in range(world_size)
    ]
    return [_ended(pid) for pid in pids]


def what_they_said(output: Path) -> str:
    """Return the end of what every process printed."""
    files = sorted(output.glob("rank-*.txt"))
    return "\n".join(f"{file.name}: {file.read_text(errors='replace')[-3000:]}" for file in files)


def _fork(work: Callable[[], object], output: Path, environment: dict[str, str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.environ.update(environment, LOCAL_RANK=environment["RANK"], OMP_NUM_THREADS="1")
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        torch.set_num_threads(1)
        work()
        leave_process_group()
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, it must not reach the test's own stack
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _ended(pid: int) -> int:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (found := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(found[1])
