"""Commands in forked children: libraries are imported once, then each case costs its work only."""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tgdpo_cli.main import main
from tgdpo_core.training import recorded_run, run  # noqa: F401 - for the children

PATIENCE_SECONDS = 120
Patch = Callable[[], object]


class Ended(NamedTuple):
    """What a command left: exit code (negative: the signal that ended it) and its output."""

    code: int
    said: str


class Child:
    """A command that runs in a child.

    Args:
        arguments: of the command line.
        output: file for all that it prints.
        patch: done in the child before.
        environment: of the child, beside this process's.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        output: Path,
        patch: Patch = lambda: None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._output = output
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid:
            return
        os.environ.update(environment or {})
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        code = 1
        try:
            for name in ("SIGTERM", "SIGINT", "SIGHUP"):
                action = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
                signal.signal(getattr(signal, name), action)
            patch()
            main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def send(self, name: str, when: Callable[[], bool] = lambda: True) -> None:
        """Send a signal as soon as something is so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not when() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(self.pid, getattr(signal, name))

    def end(self) -> Ended:
        """Wait for the end; a child that hangs is killed."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                said = self._output.read_text(errors="replace")
                return Ended(os.waitstatus_to_exitcode(status), said)
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.01)


def ranks(arguments: Sequence[str], output: Path, patch: Patch = lambda: None) -> list[Ended]:
    """Run a command as two processes of one run, as a launcher would, and return how each ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    children = [
        Child(
            arguments,
            output / f"rank-{rank}.txt",
            patch,
            {**world, "MASTER_PORT": port, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    return [child.end() for child in children]


def report(found: dict[str, Any]) -> None:
    """Print what was found, for the test."""
    sys.stdout.write(json.dumps(found) + "\n")


torch.set_num_threads(1)
