"""Filling the store by actors of a Ray cluster: a Ray Data pipeline over batches of rows.

The driver opens the tables, sees what the store lacks, and hands out row numbers. An actor makes
the plan from the recipe, opens the same tables (they lie in the store, so nothing is read twice)
and keeps what it computes at once. Row numbers go one way and counts the other; values only ever
go into the store. Ray starts a lost actor anew and repeats its share, of which everything but the
batch that it was in is stored already.
"""

import contextlib
import logging
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState

from tgdpo_core import errors
from tgdpo_core.cluster import connect, gpus_of_one, leave, warn_if_too_large
from tgdpo_core.data.token_table import Array, TokenTable
from tgdpo_core.errors import MachineError, StoreError, TgdpoError, UsageError
from tgdpo_core.failures import translated
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.preparation.plan import Plan, make_plan
from tgdpo_core.preparation.reading import read
from tgdpo_core.preparation.scoring import scorer_of
from tgdpo_core.preparation.tokens import tokenize
from tgdpo_core.recipe.schema import Recipe
from tgdpo_core.scoring.filling import Elsewhere, Pass, fill_batch

_SHARES_PER_ACTOR = 64  # small enough for even ends, large enough for Ray
_MOST_DEATHS = 3  # Ray would try for ever a batch of which every actor dies


@dataclass(frozen=True)
class Actors:
    """How many actors there are, and what each gets.

    Attributes:
        number: of actors; None: as many as the cluster has room for now.
        cpus: processors of one.
        gpus: GPUs of one; None: one, if the cluster has any.
    """

    number: int | None = None
    cpus: float = 1
    gpus: float | None = None


@dataclass(frozen=True)
class Job:
    """What an actor is told.

    Attributes:
        recipe: as JSON.
        plugin_files: to load beside the installed plugins.
        directory: recipes may hold paths that are relative to it.
        store: folder of the store.
        witness: name of a folder that the driver has put there; batches that are begun are noted
            in it.
        table: ``train`` or ``evaluation``.
        number: of the pass.
        key: of its collection.
    """

    recipe: Mapping[str, Any]
    plugin_files: Sequence[str]
    directory: str
    store: str
    witness: str
    table: str
    number: int
    key: str


class RayCluster:
    """Actors of a Ray cluster that fill a plan's store; use as a context manager.

    All nodes must see the store, the plan's files and the current directory under the same paths,
    and have the same tgdpo and plugins installed.

    Args:
        address: of the cluster; ``auto`` finds the one of this machine.
        plan: what is scored.
        plugin_files: that the plan's plugins came from.
        actors: how many, and what each gets.

    Raises:
        UsageError: Ray is not installed, there is no cluster at the address, or this is one of
            several processes.
    """

    def __init__(
        self, address: str, plan: Plan, plugin_files: Sequence[str], actors: Actors
    ) -> None:
        if PartialState().num_processes > 1:
            raise UsageError(
                "--executor ray: started by a launcher. Start it once, without `accelerate launch` "
                "or torchrun: the actors are its processes."
            )
        connect(address)
        self._plan = plan
        self._files = [os.path.abspath(file) for file in plugin_files]
        asked = {"CPU": actors.cpus, "GPU": gpus_of_one(actors.gpus)}
        warn_if_too_large(asked, "actors")
        self._asked = asked
        self._number = actors.number or _room(asked)
        self._witness = plan.store / f".ray-{uuid.uuid4().hex}"

    def __enter__(self) -> "RayCluster":
        """Return itself."""
        self._witness.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster, which ends the actors."""
        leave()
        shutil.rmtree(self._witness, ignore_errors=True)

    def on(self, table: str) -> Elsewhere:
        """Return what fills the store for a table, ``train`` or ``evaluation``."""
        return lambda task, batches: self._fill(table, task, batches)

    def _fill(self, table: str, task: Pass, batches: Sequence[Array]) -> Iterator[int]:
        job = Job(
            recipe=self._plan.recipe.model_dump(mode="json"),
            plugin_files=self._files,
            directory=os.getcwd(),
            store=str(self._plan.store.absolute()),
            witness=self._witness.name,
            table=table,
            number=task.number,
            key=task.collection.key,
        )
        for share in self._pipeline(job, batches).iter_rows():
            if share["error"]:
                raise getattr(errors, share["kind"])(share["error"])
            yield int(share["rows"])

    def _pipeline(self, job: Job, batches: Sequence[Array]) -> Any:
        import ray.data

        _quiet(ray.data.DataContext.get_current())
        size = min(self._number, len(batches))
        rows = [{"batch": batch.astype("<i8").tobytes()} for batch in batches]
        return ray.data.from_items(
            rows, override_num_blocks=min(len(rows), _SHARES_PER_ACTOR * size)
        ).map_batches(
            Filler,
            fn_constructor_args=(job,),
            batch_size=None,  # a share at a time
            compute=ray.data.ActorPoolStrategy(size=size),
            num_cpus=self._asked["CPU"],
            num_gpus=self._asked["GPU"],
        )


class Filler:
    """An actor: takes shares of rows, and says how many it has done or what went wrong."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._task: Pass | None = None

    def __call__(self, share: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return the number of rows done; an error of the tree as its kind and its message.

        Args:
            share: ``batch``: of each batch, its row numbers as bytes of int64.
        """
        batches = [np.frombuffer(batch, "<i8") for batch in share["batch"]]
        try:
            self._fill(batches)
        except Exception as error:
            known = translated(error)
            if known is None:
                raise
            return {"rows": [0], "kind": [_kind(known)], "error": [str(known)]}
        return {"rows": [sum(map(len, batches))], "kind": [""], "error": [""]}

    def __del__(self) -> None:
        """Free what was loaded."""
        task = vars(self).get("_task")
        if task:
            with contextlib.suppress(TgdpoError):
                task.close()

    def _fill(self, batches: Sequence[Array]) -> None:
        if self._task is None:
            self._task = _task_of(self._job)
        try:
            for batch in batches:
                with noted(Path(self._job.store, self._job.witness, f"{batch[0]}"), self._task):
                    fill_batch(self._task, batch)
        finally:
            self._task.collection.close()


def _task_of(job: Job) -> Pass:
    """Return the driver's pass, made anew in this process."""
    os.chdir(job.directory)
    plugins = PluginManager(files=job.plugin_files)
    plan = replace(make_plan(Recipe.model_validate(job.recipe), plugins), store=Path(job.store))
    if not (plan.store / job.witness).exists():
        raise StoreError(
            f"Node {os.uname().nodename}: its folder {plan.store} is not the store of the program "
            "that was started. Set TGDPO_STORE to a folder that all nodes see."
        )
    tokens = tokenize(plan, read(plan))
    table: TokenTable | None = tokens.train if job.table == "train" else tokens.evaluation
    assert table
    task = scorer_of(plan, tokens.tokenizer, tokens.train).task(table, job.number)
    if task.collection.key != job.key:
        raise UsageError(
            f"Node {os.uname().nodename}: values of '{task.label}' would get the key "
            f"{task.collection.key}, those of the program that was started {job.key}: number "
            "formats, plugins or versions differ (`tgdpo store explain` compares the two). Where "
            "only the nodes have GPUs, set training.bf16 to true or false."
        )
    return task


@contextlib.contextmanager
def noted(begun: Path, task: Pass) -> Iterator[None]:
    """Note that a batch is begun, until it is done; refuse one that actors have died of."""
    deaths = begun.stat().st_size if begun.exists() else 0
    if deaths >= _MOST_DEATHS:
        raise MachineError(
            f"{task.label}: {deaths} actors died in the batch that begins with "
            f"{task.table[int(begun.name)].pair.where}; `ray logs` says of what (most often: out "
            "of memory). What was stored is kept, and the same command goes on from there."
        )
    with begun.open("ab") as file:
        file.write(b".")
    yield
    begun.unlink()


def _kind(error: TgdpoError) -> str:
    """Return the name of an error's class in the tree; plugins' rooms have classes below it."""
    return next(c.__name__ for c in type(error).__mro__ if c.__module__ == errors.__name__)


def _room(asked: Mapping[str, float]) -> int:
    """Return how many actors the cluster has room for now, at least one."""
    import ray

    alive = (node["Resources"] for node in ray.nodes() if node["Alive"])
    rooms = (min(has.get(what, 0) // n for what, n in asked.items() if n) for has in alive)
    return max(1, int(sum(rooms)))


def _quiet(context: Any) -> None:
    """Keep Ray Data's own bars and notes back: the pass has a bar."""
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)
    context.enable_progress_bars = False
    context.print_on_execution_start = False
