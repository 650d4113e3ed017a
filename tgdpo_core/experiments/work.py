"""The work of a task, in whatever process an executor runs it.

Importing this loads no torch: a worker process chooses its GPU and its threads first.
"""

import contextlib
import dataclasses
import gc
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tgdpo_core.errors import CheckpointError
from tgdpo_core.experiments.tasks import CellRun, Preparation, SharedScoring, Task
from tgdpo_core.failures import translated

OUTPUT = "output.txt"
ERROR = "error.txt"

Command = Callable[[Sequence[str], Sequence[str]], int]
"""Runs a tgdpo command, given its arguments and the plugin files; returns the exit code."""


@dataclass(frozen=True)
class Settings:
    """What holds for every task.

    Attributes:
        command: runs the commands of preparations.
        plugin_files: Python files loaded as plugins.
        threads: of the processor, for one task; null leaves it to torch.
    """

    command: Command
    plugin_files: Sequence[str] = ()
    threads: int | None = None


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Attributes:
        seconds: wall time.
        error: what went wrong; None if nothing did.
        exit_code: of ``tgdpo_core.errors``.
        computed: values that a shared scoring pass computed, in pairs.
    """

    seconds: float
    error: str | None = None
    exit_code: int = 0
    computed: int = 0


def do(task: Task, settings: Settings) -> Outcome:
    """Return how a task ended; what it prints is kept in its folder, its errors are outcomes.

    Args:
        task: what to do.
        settings: what holds for every task.
    """
    start = time.perf_counter()
    try:
        with _printing_to(task.folder / OUTPUT):
            computed = _do(task, settings)
        return Outcome(time.perf_counter() - start, computed=computed)
    except Exception as error:  # noqa: BLE001 - one cell's error is a result; the others go on
        seconds = time.perf_counter() - start
        known = translated(error)
        if known:
            return Outcome(seconds, str(known), known.exit_code)
        return Outcome(seconds, f"{type(error).__name__}: {error}", 1)
    finally:
        gc.collect()  # a trainer refers to itself: its model would stay beside the next task's


def _do(task: Task, settings: Settings) -> int:
    _set_threads(settings.threads)
    if isinstance(task, Preparation):
        _prepare(task, settings)
    elif isinstance(task, SharedScoring):
        return _score(task, settings)
    else:
        _train(task, settings)
    return 0


def _prepare(task: Preparation, settings: Settings) -> None:
    code = settings.command(task.command, settings.plugin_files)
    if code:
        raise _PreparationError(
            f"tgdpo {' '.join(task.command)} ended with exit code {code}; it said: "
            f"{_last_line(task.folder / OUTPUT)}"
        )


def _score(task: SharedScoring, settings: Settings) -> int:
    from tgdpo_core.plugin_api.manager import PluginManager
    from tgdpo_core.preparation.plan import make_plan
    from tgdpo_core.preparation.reading import read
    from tgdpo_core.preparation.scoring import fill_store
    from tgdpo_core.preparation.tokens import tokenize

    plan = make_plan(task.recipe, PluginManager(files=settings.plugin_files))
    scorer = fill_store(plan, tokenize(plan, read(plan)))
    return int(scorer.totals()["computed"])


def _train(task: CellRun, settings: Settings) -> None:
    from tgdpo_core.plugin_api.manager import PluginManager
    from tgdpo_core.preparation.plan import make_plan
    from tgdpo_core.training.durability.checkpoints import Checkpoints
    from tgdpo_core.training.run import train
    from tgdpo_core.training.run_folder import RunFolder

    (task.folder / ERROR).unlink(missing_ok=True)
    plan = make_plan(task.recipe, PluginManager(files=settings.plugin_files))
    plan = dataclasses.replace(plan, cell=(task.ablation, task.tracked_name))
    has_checkpoint = Checkpoints(RunFolder(task.folder).checkpoints).newest_whole().path is not None
    train(plan, resume=has_checkpoint, overwrite=not has_checkpoint)


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


class _PreparationError(CheckpointError):
    """A command that should have made something for cells failed."""


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")


@contextlib.contextmanager
def _printing_to(path: Path) -> Iterator[None]:
    """Write to a file what the process prints, that of libraries in C and of children too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    streams = (sys.stdout, sys.stderr)
    kept = [os.dup(number) for number in (1, 2)]
    with path.open("a", encoding="utf-8") as file:
        for stream, number in zip(streams, (1, 2), strict=True):
            stream.flush()
            os.dup2(file.fileno(), number)
        try:
            yield
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            for stream, number, old in zip(streams, (1, 2), kept, strict=True):
                with contextlib.suppress(OSError):  # a full disk
                    stream.flush()
                os.dup2(old, number)
                os.close(old)
