"""Where tasks run: processes of this machine, or a Ray cluster.

An executor is given tasks that are ready and returns futures; what is ready, it does not know.
"""

import logging
import multiprocessing
import os
import queue
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import NamedTuple, Protocol

from tgdpo_core.errors import UsageError
from tgdpo_core.experiments.planning import Task
from tgdpo_core.experiments.work import Outcome, Settings, do


class Executor(Protocol):
    """Runs tasks.

    Attributes:
        capacity: how many tasks it takes at a time.
    """

    capacity: int

    def submit(self, task: Task, settings: Settings) -> "Future[Outcome]":
        """Start a task; the future fails only if the process that ran it died."""


class _Worker(NamedTuple):
    """A process, and the end of a pipe that it lives by: closed, it ends."""

    pool: ProcessPoolExecutor
    lifeline: Connection


class LocalExecutor:
    """Processes of this machine, each with its GPU if there are any; use as a context manager.

    Every process does one task after the other, so that libraries are imported once. One that
    dies (out of memory) fails its own task only and is replaced.

    Args:
        jobs: processes.
        num_gpus: GPUs that they take turns to get.
    """

    def __init__(self, jobs: int, *, num_gpus: int = 0) -> None:
        self.capacity = jobs
        self._num_gpus = num_gpus
        self._workers: dict[int, _Worker] = {}
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for job in range(jobs):
            self._free.put(job)

    def __enter__(self) -> "LocalExecutor":
        """Return itself; processes start when there is work."""
        return self

    def __exit__(self, error_type: object, *_: object) -> None:
        """End the processes; at an error without waiting for their tasks."""
        for worker in self._workers.values():
            if error_type is not None:
                worker.lifeline.close()
            worker.pool.shutdown(wait=True, cancel_futures=True)
            worker.lifeline.close()

    def submit(self, task: Task, settings: Settings) -> "Future[Outcome]":
        """Start a task in a free process, waiting for one if there is none."""
        slot = self._free.get()
        if slot not in self._workers:
            self._workers[slot] = _new_worker(
                str(slot % self._num_gpus) if self._num_gpus else None
            )
        future = self._workers[slot].pool.submit(do, task, settings)
        future.add_done_callback(lambda done: self._finish(slot, done))
        return future

    def _finish(self, slot: int, done: "Future[Outcome]") -> None:
        if not done.cancelled() and isinstance(done.exception(), BrokenProcessPool):
            self._workers.pop(slot).lifeline.close()
        self._free.put(slot)


class RayExecutor:
    """One task of an existing Ray cluster for every task; use as a context manager.

    All nodes must see the ablation folder under the same path, and have tgdpo installed.

    Args:
        address: of the cluster; ``auto`` finds the one of this machine.
        cpus: processors that a task asks for.
        gpus: GPUs that a task asks for.

    Raises:
        UsageError: Ray is not installed, or there is no cluster at the address.
    """

    capacity = 1_000_000  # what does not fit yet waits in Ray

    def __init__(self, address: str, *, cpus: float = 1, gpus: float = 0) -> None:
        try:
            import ray
        except ImportError as error:
            raise UsageError("--executor ray needs Ray: pip install 'tgdpo[ray]'.") from error
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"No Ray cluster can be reached at {address}: {error} Start one with "
                "`ray start --head`, or use the executor local."
            ) from error
        self._do = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(do)

    def __enter__(self) -> "RayExecutor":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster, which ends what this program still had running there."""
        import ray

        ray.shutdown()

    def submit(self, task: Task, settings: Settings) -> "Future[Outcome]":
        """Hand a task to the cluster."""
        future: Future[Outcome] = self._do.remote(task, settings).future()
        return future


def _new_worker(gpu: str | None) -> _Worker:
    # spawn: a forked process would share the parent's CUDA and the locks of its threads.
    context = multiprocessing.get_context("spawn")
    held_by_worker, lifeline = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        1, mp_context=context, initializer=_start_worker, initargs=(gpu, held_by_worker)
    )
    return _Worker(pool, lifeline)


def _start_worker(gpu: str | None, lifeline: Connection) -> None:
    """Prepare a process: its GPU, and its end when its parent ends or lets it go."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent lets go of it instead
    threading.Thread(target=_live_by, args=(lifeline,), daemon=True).start()


def _live_by(lifeline: Connection) -> None:
    """End the process when the other end is closed: a killed parent leaves nothing behind."""
    try:
        lifeline.recv()
    except EOFError:
        os._exit(1)
