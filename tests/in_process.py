"""An executor without a process of its own, for tests of what is done and not of where."""

from concurrent.futures import Future
from typing import Any

from tgdpo_core.experiments.tasks import Task
from tgdpo_core.experiments.work import Outcome, Settings, do


class InProcess:
    """Does each task in the test's process, which has torch loaded already."""

    capacity = 1

    def __init__(self, *_: Any, **__: Any) -> None:
        """Take what LocalExecutor takes."""

    def __enter__(self) -> "InProcess":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, task: Task, settings: Settings) -> "Future[Outcome]":
        future: Future[Outcome] = Future()
        future.set_result(do(task, settings))
        return future
