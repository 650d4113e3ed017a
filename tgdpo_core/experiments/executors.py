"""Where tasks run: processes of this machine, or a Ray cluster.

An executor is given tasks that are ready and returns futures; what is ready, it does not know.
"""

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import NamedTuple, Protocol

from tgdpo_core.cluster import connect, gpus_of_one, leave, warn_if_too_large
from tgdpo_core.experiments.tasks import Task
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
        gpus: GPUs that they take turns to get, as ``visible_gpus`` names them.
    """

    def __init__(self, jobs: int, *, gpus: Sequence[str] = ()) -> None:
        self.capacity = jobs
        self._gpus = gpus
        self._workers: dict[int, _Worker] = {}
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for job in range(jobs):
            self._free.put(job)

    def __enter__(self) -> "LocalExecutor":
        """Return itself; processes start when there is work."""
        return self

    def __exit__(self, error_type: object, *_: object) -> None:
        """End the processes; at an error without waiting for their tasks."""
        workers = list(self._workers.values())  # those that end now leave the dict meanwhile
        if error_type is not None:
            for worker in workers:
                worker.lifeline.close()
        for worker in workers:
            worker.pool.shutdown(wait=True, cancel_futures=True)
            worker.lifeline.close()

    def submit(self, task: Task, settings: Settings) -> "Future[Outcome]":
        """Start a task in a free process, waiting for one if there is none."""
        slot = self._free.get()
        try:
            future = self._pool(slot).submit(do, task, settings)
        except BrokenProcessPool:  # it died between two tasks
            self._drop(slot)
            future = self._pool(slot).submit(do, task, settings)
        future.add_done_callback(lambda done: self._finish(slot, done))
        return future

    def _pool(self, slot: int) -> ProcessPoolExecutor:
        if slot not in self._workers:
            gpu = self._gpus[slot % len(self._gpus)] if self._gpus else None
            self._workers[slot] = _new_worker(gpu)
        return self._workers[slot].pool

    def _finish(self, slot: int, done: "Future[Outcome]") -> None:
        if not done.cancelled() and isinstance(done.exception(), BrokenProcessPool):
            self._drop(slot)
        self._free.put(slot)

    def _drop(self, slot: int) -> None:
        self._workers.pop(slot).lifeline.close()


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count))))
    return [name.strip() for name in named.split(",")][:count]


class RayExecutor:
    """One task of an existing Ray cluster for every task; use as a context manager.

    All nodes must see the current directory, the ablation folder and the store under the same
    paths, and have tgdpo installed. Tasks get this process's directory and TGDPO_* variables.

    Args:
        address: of the cluster; ``auto`` finds the one of this machine.
        cpus: processors that a task asks for.
        gpus: GPUs that a task asks for; None: one, if the cluster has any.

    Raises:
        UsageError: Ray is not installed, or there is no cluster at the address.
    """

    capacity = 1_000_000  # what does not fit yet waits in Ray

    def __init__(self, address: str, *, cpus: float = 1, gpus: float | None = None) -> None:
        connect(address)
        import ray

        gpus = gpus_of_one(gpus)
        warn_if_too_large({"CPU": cpus, "GPU": gpus}, "tasks")
        self._do = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_do_in)
        self._directory = os.getcwd()

    def __enter__(self) -> "RayExecutor":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster, which ends what this program still had running there."""
        leave()

    def submit(self, task: Task, settings: Settings) -> "Future[Outcome]":
        """Hand a task to the cluster."""
        future: Future[Outcome] = self._do.remote(self._directory, task, settings).future()
        return future


def _do_in(directory: str, task: Task, settings: Settings) -> Outcome:
    os.chdir(directory)  # recipes may hold relative paths
    return do(task, settings)


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
