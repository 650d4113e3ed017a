"""Forked processes that kill themselves (SIGKILL) at one of the file operations they do."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "os.truncate"}
# Written by code that no audit event tells of: how each is called, and where its path stands.
_WRITERS = (
    ("torch", "save", 1),
    ("transformers.modeling_utils", "safe_save_file", 1),
    ("tgdpo_core.training.durability.running_sums", "save_file", 1),
    ("pathlib.Path", "write_text", 0),
    ("transformers.trainer_callback.TrainerState", "save_to_json", 1),
)
_STAGES = (("empty", 0.0), ("half", 0.5), ("whole", 1.0))
_PATIENCE_SECONDS = 120
Action = Callable[[], object]


def fork(action: Action, environment: dict[str, str] | None = None) -> int:
    """Start a child that runs an action and ends; return its pid."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    os.environ.update(environment or {})
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    code = 1
    try:
        action()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os._exit(code)


def wait(children: Sequence[int]) -> list[int]:
    """Return the exit codes of children (negative: a signal); those that hang are killed."""
    codes: dict[int, int] = {}
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while len(codes) < len(children):
        for child in set(children) - codes.keys():
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                codes[child] = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    return [codes[child] for child in children]


def forked(action: Action) -> int:
    """Run an action in a child and return its exit code."""
    return wait([fork(action)])[0]


def forked_ranks(actions: Sequence[Action]) -> list[int]:
    """Run one action a rank, as a launcher would, and return their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"WORLD_SIZE": str(len(actions)), "LOCAL_WORLD_SIZE": str(len(actions))}
    world |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return wait(
        [
            fork(action, {**world, "RANK": str(rank), "LOCAL_RANK": str(rank)})
            for rank, action in enumerate(actions)
        ]
    )


class Killer:
    """Counts what happens to files of a folder, and kills the process at one of the events.

    Args:
        folder: of the run, or of the store.
        at: number of the event, from 1; None: all are written to ``log``.
        log: file for their names.
    """

    def __init__(self, folder: Path, at: int | None, log: Path | None = None) -> None:
        self._folder = str(folder)
        self._at = at
        self._log = log
        self._count = 0

    def arm(self) -> None:
        """Watch this process from now on."""
        import pydoc

        sys.addaudithook(self._hook)
        for owner_name, name, place in _WRITERS:
            owner = pydoc.locate(owner_name)
            setattr(owner, name, self._in_stages(getattr(owner, name), place))

    def arm_for_pwrite(self) -> None:
        """Watch, and divide every ``os.pwrite`` in stages: nothing, half, all of it written."""
        sys.addaudithook(self._hook)
        write = os.pwrite

        def written(file: int, data: Any, place: int) -> int:
            name = os.path.basename(os.readlink(f"/proc/self/fd/{file}"))
            for stage, share in _STAGES:
                part = bytes(data)[: int(len(data) * share)]
                self._event(
                    f"pwrite {stage} {name} +{place} :{len(data)}",
                    lambda p=part: write(file, p, place),
                )
            return write(file, data, place)

        os.pwrite = written

    def _event(self, name: str, act: Action = lambda: None) -> None:
        self._count += 1
        if self._log:
            number = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(number, f"{name}\n".encode())
            os.close(number)
        if self._count == self._at:
            act()
            os.kill(os.getpid(), signal.SIGKILL)

    def _hook(self, name: str, args: Any) -> None:
        if name not in _EVENTS or self._folder not in str(args[0]):
            return
        if name == "open" and not (isinstance(args[1], str) and set(args[1]) & set("wax+")):
            return
        self._event(f"{name} {str(args[0]).replace(self._folder, '')}")

    def _in_stages(self, save: Any, place: int) -> Any:
        def saved(*args: Any, **kwargs: Any) -> Any:
            path = str(args[place])
            if self._folder not in path:
                return save(*args, **kwargs)
            for stage, share in _STAGES:

                def write(share: float = share) -> None:
                    save(*args, **kwargs)
                    os.truncate(path, int(os.path.getsize(path) * share))

                self._event(f"{stage} {path.replace(self._folder, '')}", write)
            return save(*args, **kwargs)

        return saved
