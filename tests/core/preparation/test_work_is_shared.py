"""Several processes fill one store: ranks of a launcher, actors of a Ray cluster, one that dies."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tgdpo_core.errors import MachineError, PluginError, UsageError
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.preparation import on_ray
from tgdpo_core.preparation.on_ray import Actors, RayCluster
from tgdpo_core.preparation.plan import Plan, make_plan
from tgdpo_core.preparation.reading import read
from tgdpo_core.preparation.scoring import fill_store, scorer_of
from tgdpo_core.preparation.tokens import tokenize
from tgdpo_core.recipe import resolve_recipe
from tgdpo_core.recipe.loading import to_yaml
from tgdpo_core.store.entry_index import Entry, entries_of
from tgdpo_core.store.shards import ShardReader, read_index, shard_numbers, shard_paths

NUM_PAIRS = 48
RANKS = os.environ.get("TGDPO_TEST_RANKS", "2")  # 4 is the proof by hand, 2 what CI can afford
PLUGIN = """
import os, signal
from pathlib import Path
import torch
from tgdpo_core import TokenReward, hookimpl, option

class Mortal(TokenReward):
    "A number for every token; where the folder holds a bomb, one process dies of it."

    folder: str = option("", help="where calls are noted")

    def setup(self, context):
        self.calls = 0

    def score(self, batch):
        self.calls += 1
        with open(Path(self.folder) / "calls", "a") as file:
            file.write(f"{os.getpid()} {' '.join(sorted({e.uid for e in batch}))}\\n")
        if self.calls == 3:  # of its second batch: the first one is asked about twice
            try:
                (Path(self.folder) / "bomb").unlink()
            except FileNotFoundError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return [torch.arange(len(e.response_ids)) * 0.25 for e in batch]

class Broken(Mortal):
    "Gives too few values."

    def score(self, batch):
        return [torch.zeros(1)] * len(batch)

@hookimpl
def register_token_rewards(register):
    register("mortal", Mortal)
    register("too-few", Broken)
"""

Values = dict[tuple[str, bytes], bytes]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plugin file and pairs of which about eight fill a batch."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "mortal.py").write_text(PLUGIN)
    lines = (
        f'{{"prompt": "{i}?\\n", "chosen": "{"It is four. " * (90 + i)}", "rejected": "No {i}."}}\n'
        for i in range(NUM_PAIRS)
    )
    (folder / "pairs.jsonl").write_text("".join(lines))
    return folder


def plan_of(home: Path, model: Path, reward: str = "mortal") -> Plan:
    content = {
        "model": {"name_or_path": str(model)},
        "data": {"path": str(home / "pairs.jsonl")},
        "reward": [{"plugin": reward, "args": {"folder": str(home)}}],
        "training": {"use_cpu": True},
        "output_dir": "unused",
    }
    plugins = PluginManager(files=[home / "mortal.py"])
    return make_plan(resolve_recipe(content, source="test"), plugins)


def filled(plan: Plan, cluster: RayCluster | None = None) -> Any:
    tokens = tokenize(plan, read(plan))
    return fill_store(plan, tokens, cluster.on if cluster else None)


def stored(store: Path) -> Values:
    """Return all values of a store by key and name; no name stands in it twice."""
    values: Values = {}
    number = 0
    for document in store.glob("*/key.json"):
        folder = document.parent
        for shard in shard_numbers(folder):
            data, index, _ = shard_paths(folder, shard)
            reader = ShardReader(data)
            for numbers in entries_of(read_index(index, folder.name), shard).tolist():
                entry = Entry(*numbers)
                values[folder.name, entry.name] = reader(entry.offset, entry.length).tobytes()
                number += 1
    assert len(values) == number, "nothing is computed twice"
    return values


@pytest.fixture(scope="module")
def by_one(home: Path, model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Values:
    """What one process stores."""
    store = tmp_path_factory.mktemp("one")
    filled(replace(plan_of(home, model_folder), store=store))
    shutil.copytree(store, home / "references")  # what only rewards are asked for, begins with
    values = stored(store)
    assert list(Counter(key for key, _ in values).values()) == [NUM_PAIRS, NUM_PAIRS]
    return values


def test_ranks_of_a_launcher_store_what_one_process_stores(
    home: Path, model_folder: Path, by_one: Values, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(to_yaml(plan_of(home, model_folder).recipe))
    command = [sys.executable, "-m", "tgdpo_cli.main", "--plugin-file", str(home / "mortal.py")]
    command += ["score", "--config", str(recipe), "--json", "--num-processes", RANKS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert stored(tmp_path / "store") == by_one
    totals = json.loads(done.stdout)  # one document: only the first process speaks
    assert {counts["computed"] for counts in totals["passes"].values()} == {NUM_PAIRS}


# -- Ray ------------------------------------------------------------------------------------------


def test_actors_store_what_one_process_stores_and_a_killed_one_loses_its_batch(
    home: Path,
    model_folder: Path,
    by_one: Values,
    ray_address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(on_ray, "_SHARES_PER_ACTOR", 1)  # shares of several batches
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    statistics = socket.create_server(("127.0.0.1", 0))
    statistics.setblocking(False)
    host, port = statistics.getsockname()
    monkeypatch.setenv("RAY_PROMETHEUS_HOST", f"http://{host}:{port}")
    (home / "calls").unlink()
    (home / "bomb").touch()
    plan = plan_of(home, model_folder)
    with RayCluster(ray_address, plan, [str(home / "mortal.py")], Actors()) as cluster:
        scorer = filled(plan, cluster)
    assert stored(plan.store) == by_one
    assert not (home / "bomb").exists()
    assert [counts.computed for counts in scorer.counts.values()] == [NUM_PAIRS, NUM_PAIRS]

    calls = [line.split() for line in (home / "calls").read_text().splitlines()]
    asked_by = defaultdict(set)
    for process, *rows in calls:
        for row in rows:
            asked_by[row].add(process)
    assert len(asked_by) == 2 * NUM_PAIRS
    twice = {row for row, processes in asked_by.items() if len(processes) > 1}
    last = {process: set(rows) for process, *rows in calls}
    assert twice in last.values(), "the killed actor's last batch, and nothing else"
    assert len(last) > 1
    assert [path.name for path in plan.store.glob(".ray-*")] == []
    with statistics, pytest.raises(BlockingIOError):
        statistics.accept()  # nobody was asked for statistics


def test_an_error_in_an_actor_is_the_error_of_the_command(
    home: Path, model_folder: Path, by_one: Values, ray_address: str
) -> None:
    plan = plan_of(home, model_folder, reward="too-few")
    shutil.copytree(home / "references", plan.store)
    with (
        RayCluster(ray_address, plan, [str(home / "mortal.py")], Actors(number=1)) as cluster,
        pytest.raises(PluginError, match=r"too-few.*pairs\.jsonl"),
    ):
        filled(plan, cluster)


def test_a_batch_that_kills_every_actor_ends_the_command(
    home: Path, model_folder: Path, tmp_path: Path
) -> None:
    plan = plan_of(home, model_folder)
    tokens = tokenize(plan, read(plan))
    task = scorer_of(plan, tokens.tokenizer).task(tokens.train, 1)
    (tmp_path / "7").write_bytes(b"..")
    with on_ray.noted(tmp_path / "7", task):
        assert (tmp_path / "7").read_bytes() == b"..."
    assert not (tmp_path / "7").exists()
    (tmp_path / "7").write_bytes(b"...")
    message = r"mortal rewards: 3 actors died in the batch that begins with pairs\.jsonl:8"
    with pytest.raises(MachineError, match=message), on_ray.noted(tmp_path / "7", task):
        raise AssertionError("never begun")


def test_the_actors_of_a_launched_process_are_refused(
    home: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(home, model_folder)
    monkeypatch.setattr(on_ray, "PartialState", lambda: SimpleNamespace(num_processes=2))
    with pytest.raises(UsageError, match="without `accelerate launch`"):
        RayCluster("auto", plan, (), Actors())
