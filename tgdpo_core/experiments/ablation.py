"""Runs an ablation: what is missing, in an order that works; then its results."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from tgdpo_core.errors import CheckpointError, UsageError
from tgdpo_core.experiments.comparison import Results
from tgdpo_core.experiments.executors import Executor
from tgdpo_core.experiments.results import write_results
from tgdpo_core.experiments.tasks import Ablation, CellRun, Preparation, Task
from tgdpo_core.experiments.tracked_results import check_trackers, track_results
from tgdpo_core.experiments.work import ERROR, OUTPUT, Outcome, Settings
from tgdpo_core.recipe.loading import load_recipe, resolve_recipe
from tgdpo_core.recipe.schema import Recipe
from tgdpo_core.training.run_folder import RunFolder

Report = Callable[[Task, Outcome], None]
_DONE = "done.json"


@dataclass
class Summary:
    """What a call did.

    Attributes:
        results: of all finished runs of the ablation.
        reused: runs that were finished before.
        outcomes: tasks of this call.
    """

    results: Results
    reused: int
    outcomes: Mapping[str, Outcome]


@dataclass
class _Schedule:
    """The tasks that are left.

    Attributes:
        waiting: key to task.
        finished: keys of tasks that are done, now or before.
        failed: key to the label of what went wrong first, and how that ended.
    """

    waiting: dict[str, Task]
    finished: set[str]
    failed: dict[str, tuple[str, Outcome]] = field(default_factory=dict)

    def pop_ready(self) -> list[Task]:
        """Take out the tasks that nothing is missing for."""
        ready = [task for task in self.waiting.values() if task.needs <= self.finished]
        for task in ready:
            del self.waiting[task.key]
        return ready

    def pop_hopeless(self) -> list[tuple[Task, Outcome]]:
        """Take out the tasks that need one that failed, with the error that says so."""
        found = []
        for task in list(self.waiting.values()):
            if causes := sorted(task.needs & self.failed.keys()):
                label, cause = self.failed[task.key] = self.failed[causes[0]]
                message = f"not run, since '{label}' failed: {cause.error}"
                del self.waiting[task.key]
                found.append((task, Outcome(0.0, message, cause.exit_code)))
        return found


def run_ablation(
    ablation: Ablation, executor: Executor, settings: Settings, *, report: Report
) -> Summary:
    """Do what is missing of an ablation and write its results.

    A run that is finished is kept; one that is not goes on at its newest checkpoint, or starts
    again. A task that fails takes with it those that need it, and no other.

    Args:
        ablation: what is to be done.
        executor: where it is done.
        settings: what holds for every task.
        report: is told how each task ended, as soon as it has.

    Raises:
        UsageError: somebody else is at work in the folder, or it holds runs of other recipes; a
            tracker cannot be used.
        CheckpointError: the folder cannot be used (the disk is full, a file is damaged).
    """
    with _locked(ablation.folder):
        return _run(ablation, executor, settings, report)


def _locked(folder: Path) -> contextlib.AbstractContextManager[object]:
    """Make the folder and return the lock that one call at a time has."""
    with _usable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return FileLock(folder / ".lock").acquire(timeout=0)
        except Timeout as error:
            raise UsageError(
                f"Another tgdpo ablate is at work in {folder}. Wait for it, or choose another "
                "--output-dir."
            ) from error


def _run(ablation: Ablation, executor: Executor, settings: Settings, report: Report) -> Summary:
    check_trackers(ablation)
    with _usable(ablation.folder):
        finished = {run.key for run in ablation.runs if is_finished(run)}
        missing = [run for run in ablation.runs if run.key not in finished]
        prepared = {task.key for task in ablation.preparations if _is_prepared(task)}
        needed = ablation.needed_preparations(missing)
        _write_plan(ablation)
    tasks: list[Task] = [
        *(task for task in needed if task.key not in prepared),
        *ablation.shared_scoring(missing),
        *missing,
    ]
    waiting = {task.key: task for task in tasks}
    known = finished | {task.key for task in ablation.preparations}
    # What is shared by nobody has no task of its own: the run does it.
    alone = {task.key for run in missing for task in run.scoring} - waiting.keys()
    schedule = _Schedule(waiting, (known | alone) - waiting.keys())
    outcomes = _work_off(schedule, executor, settings, report)
    with _usable(ablation.folder):
        results = write_results(ablation.folder)
    track_results(ablation, results)
    return Summary(results, len(finished), outcomes)


def _work_off(
    schedule: _Schedule, executor: Executor, settings: Settings, report: Report
) -> dict[str, Outcome]:
    """Return how every task ended."""
    outcomes: dict[str, Outcome] = {}
    running: dict[Future[Outcome], Task] = {}
    ready: list[Task] = []

    def note(task: Task, outcome: Outcome) -> None:
        outcomes[task.key] = outcome
        if outcome.error is None:
            schedule.finished.add(task.key)
        else:
            schedule.failed.setdefault(task.key, (task.label, outcome))
        with contextlib.suppress(OSError):  # a full disk takes no note, and stops no other task
            _leave_note(task, outcome)
        report(task, outcome)

    while schedule.waiting or ready or running:
        ready += schedule.pop_ready()
        while ready and len(running) < executor.capacity:
            task = ready.pop(0)
            running[executor.submit(task, settings)] = task
        assert running, "every task waits for tasks that are known"
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            task = running.pop(future)
            note(task, _outcome_of(task, future))
        while hopeless := schedule.pop_hopeless():
            for task, outcome in hopeless:
                note(task, outcome)
    return outcomes


def _outcome_of(task: Task, future: "Future[Outcome]") -> Outcome:
    """Return how a task ended whose process may have died."""
    error = future.exception()
    if error is None:
        return future.result()
    message = (
        f"its process ended ({type(error).__name__}: {error}): out of memory? See "
        f"{task.folder / OUTPUT}"
    )
    return Outcome(0.0, message, 1)


def _leave_note(task: Task, outcome: Outcome) -> None:
    """Write why a run failed, or with what a preparation was made."""
    if outcome.error is None and isinstance(task, Preparation):
        (task.folder / _DONE).write_text(json.dumps(list(task.command)) + "\n")
    elif outcome.error is not None and isinstance(task, CellRun):
        task.folder.mkdir(parents=True, exist_ok=True)
        (task.folder / ERROR).write_text(f"{outcome.error}\n", encoding="utf-8")


def is_finished(run: CellRun) -> bool:
    """Return whether a run is done.

    Raises:
        UsageError: its folder holds a run of another recipe.
        CheckpointError: its folder cannot be read.
    """
    config = run.folder / "config.yaml"
    with _usable(run.folder):
        record = RunFolder(run.folder).read()
        has_recipe = bool(record) and config.exists()
    if has_recipe and not _is_same(config, run.recipe):
        raise UsageError(
            f"{run.folder} holds a run of another recipe than the cell '{run.cell.name}' has now. "
            "Choose another --output-dir, or remove that folder."
        )
    return record.get("status") == "done"


def _is_same(config: Path, recipe: Recipe) -> bool:
    """Return whether a run's file says what a recipe says, beside the versions that it used."""
    recorded = resolve_recipe(load_recipe(config), source=str(config))
    return recorded.model_copy(update={"requires": recipe.requires}).model_dump() == (
        recipe.model_dump()
    )


def _write_plan(ablation: Ablation) -> None:
    grid = ablation.grid.model_dump(mode="json", exclude_unset=True)
    text = yaml.safe_dump(grid, sort_keys=False, allow_unicode=True)
    (ablation.folder / "ablation.yaml").write_text(text, encoding="utf-8")
    rows = [vars(cell) for cell in ablation.cells]
    (ablation.folder / "cells.json").write_text(json.dumps(rows, indent=1) + "\n")


def _is_prepared(task: Preparation) -> bool:
    """Return whether a preparation is done.

    Raises:
        UsageError: its folder holds what another command made.
    """
    marker = task.folder / _DONE
    if not marker.exists():
        return False
    command = marker.read_text().strip()
    if command != json.dumps(list(task.command)):
        raise UsageError(
            f"{task.folder} was made by another command than '{task.label}' has now: {command}. "
            "Choose another --output-dir, or remove that folder and the cells that read it."
        )
    return True


@contextlib.contextmanager
def _usable(folder: Path) -> Iterator[None]:
    """Say what to do where files cannot be read or written."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"The folder {folder} cannot be used: {error}. Finished runs are kept: make "
            "room, or mend what it says, and start tgdpo ablate again."
        ) from error
