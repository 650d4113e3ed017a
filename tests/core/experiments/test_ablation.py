"""An ablation from its first call to its last: what is done, kept, shared, reported, refused."""

import csv
import gc
import json
import operator
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.in_process import InProcess
from tgdpo_core.data.sources import load_rows
from tgdpo_core.errors import CheckpointError, UsageError
from tgdpo_core.experiments.ablation import Summary, run_ablation
from tgdpo_core.experiments.executors import LocalExecutor, RayExecutor
from tgdpo_core.experiments.grid import read_grid
from tgdpo_core.experiments.planning import plan_ablation
from tgdpo_core.experiments.tasks import Ablation, Task
from tgdpo_core.experiments.work import Outcome, Settings, do
from tgdpo_core.plugin_api.manager import PluginManager

FRAGILE = '''
from tgdpo_core import TokenReward, hookimpl, option


class Fragile(TokenReward):
    """Raises for seed 1."""

    seed: int = option(help="of the run")

    def score(self, batch):
        if self.seed == 1:
            raise RuntimeError("not on a Monday")
        return [[0.5] * len(example.response_ids) for example in batch]


@hookimpl
def register_token_rewards(register):
    register("fragile", Fragile)
'''


def read_run(model: str) -> dict[str, Any]:
    """Return the reward that the run of a cell induces."""
    return {"plugin": "induced", "args": {"model": f"{{run:{model}}}"}}


PREPARED = {"plugin": "induced", "args": {"model": "{prepared:x}"}}
SOUND = {"dpo": {}, "induced": {"reward": read_run("dpo"), "alpha": [0.5, 2]}}
SOUND_CELLS = ("dpo", "induced,alpha=0.5", "induced,alpha=2")
FAILING = {
    "fragile": {"reward": {"plugin": "fragile", "args": {"seed": "{seed}"}}},
    "needy": {"reward": read_run("fragile")},
}


@dataclass
class Study:
    """Some pairs of the playground, and an ablation of runs of two steps over them."""

    home: Path
    folder: Path
    plugin_files: Sequence[str]

    def plan(self, variants: dict[str, Any], **content: Any) -> Ablation:
        train, test = (str(self.home / f"{name}.jsonl") for name in ("train", "test"))
        recipe = {
            "model": {"name_or_path": "playground"},
            "data": {"path": train, "eval_path": test},
            "judging": {"judge": "verifier", "num_prompts": 4, "max_new_tokens": 8},
            "training": {
                "learning_rate": 1e-3,
                "max_steps": 2,
                "per_device_train_batch_size": 8,
                "per_device_eval_batch_size": 8,
                "eval_strategy": "steps",
                "eval_steps": 1,
                "logging_steps": 1,
                "save_strategy": "steps",
                "save_steps": 1,
                "use_cpu": True,
            },
        }
        grid = read_grid({"recipe": recipe, "seeds": 2, "variants": variants, **content}, "a.yaml")
        return plan_ablation(grid, self.folder, PluginManager(files=self.plugin_files))

    @property
    def settings(self) -> Settings:
        # There is no preparation: any function that a process can be handed will do.
        return Settings(operator.countOf, self.plugin_files, threads=1)

    def csv(self) -> bytes:
        return (self.folder / "results.csv").read_bytes()

    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(self.csv().decode().splitlines()))

    def markdown(self) -> str:
        return (self.folder / "results.md").read_text()

    def run_folder(self, cell: str, seed: int) -> Path:
        return self.folder / "cells" / cell / f"seed-{seed}"


@dataclass
class Reports:
    """What was reported, in order: label to outcome."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def __call__(self, task: Task, outcome: Outcome) -> None:
        assert task.label not in self.outcomes
        self.outcomes[task.label] = outcome

    @property
    def errors(self) -> dict[str, str]:
        return {label: o.error for label, o in self.outcomes.items() if o.error is not None}


@dataclass
class Recorder:
    """An executor that does nothing but say how tasks ended.

    Attributes:
        ends: label to error; the others end well.
        capacity: of an executor.
        order: labels of the tasks it was given.
    """

    ends: dict[str, str | BaseException] = field(default_factory=dict)
    capacity: int = 1
    order: list[str] = field(default_factory=list)

    def submit(self, task: Task, settings: Settings) -> "Future[Outcome]":
        self.order.append(task.label)
        task.folder.mkdir(parents=True, exist_ok=True)
        end = self.ends.get(task.label)
        future: Future[Outcome] = Future()
        if isinstance(end, BaseException):
            future.set_exception(end)
        else:
            future.set_result(Outcome(0.1, end, 4 if end else 0))
        return future


def call(study: Study, ablation: Ablation, executor: Any) -> tuple[Summary, Reports]:
    reports = Reports()
    return run_ablation(ablation, executor, study.settings, report=reports), reports


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    home = tmp_path_factory.mktemp("study")
    (home / "fragile.py").write_text(FRAGILE)
    rows = [row for _, row in load_rows("playground", split="train", plugins=PluginManager())]
    for name, some in (("train", rows[:16]), ("test", rows[16:24])):
        (home / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    return Study(home, home / "out", [str(home / "fragile.py")])


@pytest.fixture(scope="module")
def first(study: Study) -> tuple[Summary, Reports]:
    """The first call, in two processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TGDPO_STORE", str(study.home / "store"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        with LocalExecutor(2) as executor:
            return call(study, study.plan({**SOUND, **FAILING}), executor)


@pytest.fixture
def finished(study: Study, first: Any, tmp_path: Path) -> Iterator[Study]:
    """The folder in its place after the first call; what a test changes is undone."""
    shutil.copytree(study.folder, tmp_path / "kept", symlinks=True)
    yield study
    shutil.rmtree(study.folder)
    shutil.move(tmp_path / "kept", study.folder)


# -- the first call -------------------------------------------------------------------------------


def test_a_cell_that_raises_is_reported_and_the_others_go_on(study: Study, first: Any) -> None:
    summary, reports = first
    done = [f"{cell} (seed {seed})" for cell in SOUND_CELLS for seed in (0, 1)]
    for label in [*done, "fragile (seed 0)", "needy (seed 0)"]:
        assert reports.outcomes[label].error is None
    failed = reports.outcomes["fragile (seed 1)"]
    assert re.fullmatch(
        r"token reward 'fragile' \(.*fragile\.py\) failed on .* RuntimeError: not on a Monday",
        failed.error or "",
    )
    assert reports.errors == {
        "fragile (seed 1)": failed.error,
        "needy (seed 1)": f"not run, since 'fragile (seed 1)' failed: {failed.error}",
    }
    assert {reports.outcomes[label].exit_code for label in reports.errors} == {4}
    assert summary.reused == 0
    assert [(r.cell.name, r.cell.seed, r.reason) for r in summary.results.unfinished] == [
        ("fragile", 1, failed.error),
        ("needy", 1, reports.errors["needy (seed 1)"]),
    ]
    assert "not on a Monday" in study.markdown()
    assert "not run, since" in study.markdown()


def test_every_cell_is_an_ordinary_run_folder(study: Study, first: Any) -> None:
    for cell in ("dpo", "induced,alpha=2"):
        folder = study.run_folder(cell, 1)
        record = json.loads((folder / "run.json").read_text())
        assert (record["status"], record["exit_code"]) == ("done", 0)
        for name in ("config.yaml", "README.md", "logs/train.jsonl", "model/model.safetensors"):
            assert (folder / name).is_file()
    assert str(study.run_folder("dpo", 1)) in (folder / "config.yaml").read_text()
    for name in (
        "ablation.yaml",
        "cells.json",
        "results.csv",
        "results.md",
        "report.html",
        "plots",
    ):
        assert (study.folder / name).exists()


def test_what_is_shared_is_scored_once_and_runs_compute_nothing(study: Study, first: Any) -> None:
    _, reports = first
    scored = {
        label: o.computed for label, o in reports.outcomes.items() if label.startswith("score")
    }
    pairs = 16 + 8
    assert scored == {
        "score reference for dpo (seed 0)": 2
        * pairs,  # log-probs, and the zeros of the reward none
        "score induced for induced,alpha=0.5 (seed 0)": pairs,
        "score induced for induced,alpha=0.5 (seed 1)": pairs,
    }
    for cell in SOUND_CELLS:
        for seed in (0, 1):
            record = json.loads((study.run_folder(cell, seed) / "run.json").read_text())
            assert record["store"]["computed"] == 0
    alone = json.loads((study.run_folder("fragile", 0) / "run.json").read_text())["store"]
    assert alone["computed"] == alone["passes"]["token_reward:fragile"]["computed"] == pairs


def test_seeds_and_cells_differ(study: Study, first: Any) -> None:
    runs = [("dpo", 0), ("dpo", 1), ("induced,alpha=0.5", 0), ("induced,alpha=2", 0)]
    assert len({last_loss(study.run_folder(*run)) for run in runs}) == 4


def last_loss(folder: Path) -> float:
    rows = [json.loads(line) for line in (folder / "logs" / "train.jsonl").read_text().splitlines()]
    return [float(row["loss"]) for row in rows if "loss" in row][-1]


# -- further calls --------------------------------------------------------------------------------


def test_a_second_call_runs_nothing(finished: Study) -> None:
    executor = Recorder()
    summary, reports = call(finished, finished.plan(SOUND), executor)
    assert executor.order == []
    assert reports.outcomes == {}
    assert summary.reused == 6
    assert summary.results.unfinished == []


def test_what_failed_is_tried_again(finished: Study) -> None:
    executor = Recorder()
    summary, _ = call(finished, finished.plan({**SOUND, **FAILING}), executor)
    assert executor.order == [
        "score reference for fragile (seed 1)",
        "fragile (seed 1)",
        "needy (seed 1)",
    ]
    assert summary.reused == 8


def test_a_run_that_is_gone_is_done_again_with_the_same_numbers(
    finished: Study,
) -> None:
    ablation = finished.plan(SOUND)
    call(finished, ablation, Recorder())
    before = finished.csv()
    shutil.rmtree(finished.run_folder("induced,alpha=2", 1))
    shutil.rmtree(finished.run_folder("dpo", 0))
    summary, reports = call(finished, ablation, InProcess())
    labels = list(reports.outcomes)
    assert labels == [
        "score reference for dpo (seed 0)",
        "dpo (seed 0)",
        "induced,alpha=2 (seed 1)",
    ]
    assert reports.errors == {}
    assert summary.reused == 4
    assert finished.csv() == before


def test_an_interrupted_run_goes_on_at_its_checkpoint(
    finished: Study,
) -> None:
    ablation = finished.plan({"dpo": {}})
    call(finished, ablation, Recorder())
    before = finished.csv()
    folder = finished.run_folder("dpo", 1)
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"status": "running"}))
    shutil.rmtree(folder / "model")
    shutil.rmtree(folder / "checkpoints" / "checkpoint-2")
    kept = (folder / "checkpoints" / "checkpoint-1" / "trainer_state.json").stat().st_mtime_ns
    _, reports = call(finished, ablation, InProcess())
    assert reports.errors == {}
    assert (folder / "model" / "model.safetensors").is_file()
    assert (
        folder / "checkpoints" / "checkpoint-1" / "trainer_state.json"
    ).stat().st_mtime_ns == kept
    assert finished.csv() == before


def test_more_cells_and_seeds_may_come_later(finished: Study) -> None:
    executor = Recorder()
    later = finished.plan({**SOUND, "random": {"reward": "random"}}, seeds=3)
    summary, _ = call(finished, later, executor)
    assert summary.reused == 6
    assert {label for label in executor.order if not label.startswith("score")} == {
        *(f"{cell} (seed 2)" for cell in SOUND_CELLS),
        *(f"random (seed {seed})" for seed in range(3)),
    }


def test_runs_of_another_recipe_are_refused(finished: Study) -> None:
    files = [finished.folder / "ablation.yaml", finished.folder / "results.csv"]
    before = [file.read_bytes() for file in files]
    executor = Recorder()
    with pytest.raises(UsageError, match="holds a run of another recipe than the cell 'dpo' has"):
        call(finished, finished.plan(SOUND, set={"loss.beta": 0.7}), executor)
    assert executor.order == []
    assert [file.read_bytes() for file in files] == before


def test_two_calls_at_a_time_are_refused(finished: Study) -> None:
    with (
        FileLock(finished.folder / ".lock"),
        pytest.raises(UsageError, match="Another tgdpo ablate is at work in"),
    ):
        call(finished, finished.plan(SOUND), Recorder())
    call(finished, finished.plan(SOUND), Recorder())


# -- what waits for what --------------------------------------------------------------------------


@pytest.fixture
def empty(study: Study, tmp_path: Path) -> Study:
    """The study with a folder in which nothing was done."""
    return Study(study.home, tmp_path / "out", study.plugin_files)


def test_preparations_come_first_then_scoring_then_what_reads_it(empty: Study) -> None:
    prepared = {"plugin": "induced", "args": {"model": "{prepared:prm}"}}
    ablation = empty.plan(
        {"again": {"reward": read_run("prm")}, "prm": {"reward": prepared, "alpha": 1}},
        prepare={"prm": "fit {seed}"},
    )
    executor = Recorder(capacity=3)
    _, reports = call(empty, ablation, executor)
    assert reports.errors == {}
    order = executor.order
    whats = ("prepare prm", "dpo", "again", "prm")
    each = [f"{what} (seed {seed})" for what in whats for seed in (0, 1)]
    assert sorted(order) == sorted(["score reference for dpo (seed 0)", *each])
    assert order[:3] == [
        "prepare prm (seed 0)",
        "prepare prm (seed 1)",
        "score reference for dpo (seed 0)",
    ]
    for seed in (0, 1):
        places = [order.index(f"{name} (seed {seed})") for name in ("prepare prm", "prm", "again")]
        assert places == sorted(places)


def test_what_needs_a_failed_task_is_not_run_and_names_the_first_cause(empty: Study) -> None:
    """Scoring that reads a run which is not run is hopeless as well: two cells share it here."""
    variants = {
        "r": {"reward": "random"},
        "i": {"reward": read_run("r")},
        "j": {"reward": read_run("i"), "alpha": [1, 2]},
    }
    executor = Recorder(ends={"r (seed 0)": "out of luck"})
    summary, reports = call(empty, empty.plan(variants, seeds=1), executor)
    assert executor.order == ["score reference for dpo (seed 0)", "dpo (seed 0)", "r (seed 0)"]
    cause = "not run, since 'r (seed 0)' failed: out of luck"
    assert reports.errors == {
        "r (seed 0)": "out of luck",
        "score induced for j,alpha=1 (seed 0)": cause,
        **{f"{cell} (seed 0)": cause for cell in ("i", "j,alpha=1", "j,alpha=2")},
    }
    reasons = {run.cell.name: run.reason for run in summary.results.unfinished}
    not_run = dict.fromkeys(("i", "j,alpha=1", "j,alpha=2"), cause)
    assert reasons == {"dpo": "not run", "r": "out of luck", **not_run}


def test_failed_scoring_takes_with_it_what_needs_it_and_the_next_call_tries_again(
    empty: Study,
) -> None:
    ablation = empty.plan({"r": {"reward": "random"}, "i": {"reward": read_run("r")}}, seeds=1)
    executor = Recorder(ends={"score reference for dpo (seed 0)": "no room"})
    call(empty, ablation, executor)
    assert executor.order == ["score reference for dpo (seed 0)"]
    executor = Recorder()
    _, reports = call(empty, ablation, executor)
    assert reports.errors == {}
    assert len(executor.order) == 4


def test_a_process_that_dies_is_reported_with_where_to_look(empty: Study) -> None:
    ablation = empty.plan({"dpo": {}}, seeds=1)
    executor = Recorder(ends={"dpo (seed 0)": BrokenProcessPool("gone")})
    summary, reports = call(empty, ablation, executor)
    message = reports.errors["dpo (seed 0)"]
    assert message == (
        "its process ended (BrokenProcessPool: gone): out of memory? See "
        f"{empty.run_folder('dpo', 0)}/output.txt"
    )
    assert [run.reason for run in summary.results.unfinished] == [message]


def test_a_preparation_is_made_once_and_by_one_command(empty: Study) -> None:
    def plan(command: str) -> Ablation:
        return empty.plan({"i": {"reward": PREPARED}}, seeds=1, prepare={"x": command})

    runs = ["score reference for dpo (seed 0)", "dpo (seed 0)", "i (seed 0)"]
    for expected in (["prepare x", *runs], runs):
        executor = Recorder()
        call(empty, plan("fit --size 3"), executor)
        assert executor.order == expected
    executor = Recorder()
    with pytest.raises(
        UsageError, match=r"prepared/x was made by another command than 'prepare x'"
    ):
        call(empty, plan("fit --size 4"), executor)
    assert executor.order == []


def test_a_preparation_that_failed_is_made_again(empty: Study) -> None:
    ablation = empty.plan({"i": {"reward": PREPARED}}, seeds=1, prepare={"x": "fit"})
    executor = Recorder(ends={"prepare x": "no luck"})
    _, reports = call(empty, ablation, executor)
    assert executor.order == ["prepare x", "score reference for dpo (seed 0)", "dpo (seed 0)"]
    assert reports.errors["i (seed 0)"] == "not run, since 'prepare x' failed: no luck"
    executor = Recorder()
    call(empty, ablation, executor)
    assert executor.order[0] == "prepare x"
    assert "i (seed 0)" in executor.order


# -- a full disk ----------------------------------------------------------------------------------


def fill_up(path: Path) -> None:
    """Make every write to a file fail as on a full disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/full")


def test_a_disk_that_is_full_for_one_cell_fails_that_cell_only(
    finished: Study,
) -> None:
    ablation = finished.plan({"dpo": {}})
    full, other = (finished.run_folder("dpo", seed) for seed in (0, 1))
    for folder in (full, other):
        shutil.rmtree(folder)
    fill_up(full / ".run.json.part")
    summary, reports = call(finished, ablation, InProcess())
    assert list(reports.errors) == ["dpo (seed 0)"]
    (message,) = reports.errors.values()
    assert "run.json cannot be written: [Errno 28] No space left on device" in message
    assert reports.outcomes["dpo (seed 0)"].exit_code == 5
    assert json.loads((other / "run.json").read_text())["status"] == "done"
    assert [run.reason for run in summary.results.unfinished] == [message]
    (full / ".run.json.part").unlink()
    _, reports = call(finished, ablation, InProcess())
    assert {label: o.error for label, o in reports.outcomes.items()} == {"dpo (seed 0)": None}


@pytest.mark.parametrize(
    "file",
    [
        "ablation.yaml",
        "cells.json",
        ".results.csv.part",
        ".report.html.part",
        "plots/.metric.svg.part",
    ],
)
def test_results_that_cannot_be_written_end_in_one_line(finished: Study, file: str) -> None:
    fill_up(finished.folder / file)
    with pytest.raises(CheckpointError) as caught:
        call(finished, finished.plan(SOUND), Recorder())
    assert str(caught.value) == (
        f"The folder {finished.folder} cannot be used: [Errno 28] No space left on "
        "device. Finished runs are kept: make room, or mend what it says, and start tgdpo ablate "
        "again."
    )
    (finished.folder / file).unlink()
    summary, _ = call(finished, finished.plan(SOUND), Recorder())
    assert summary.reused == 6


def test_a_failure_that_cannot_be_noted_stops_no_other_task(empty: Study) -> None:
    ablation = empty.plan({"i": {"reward": PREPARED}}, seeds=1, prepare={"x": "fit"})
    for note in (
        empty.run_folder("dpo", 0) / "error.txt",
        empty.folder / "prepared" / "x" / "done.json",
    ):
        note.parent.mkdir(parents=True)
        note.symlink_to("/nowhere/at/all")
    executor = Recorder(ends={"dpo (seed 0)": "no room"})
    _, reports = call(empty, ablation, executor)
    assert executor.order[-1] == "i (seed 0)"
    assert reports.errors == {"dpo (seed 0)": "no room"}


def test_a_folder_that_cannot_be_made_is_said(empty: Study) -> None:
    empty.folder.write_text("a file")
    with pytest.raises(CheckpointError, match=r"cannot be used: .*File exists"):
        call(empty, empty.plan({"dpo": {}}), Recorder())


# -- one task -------------------------------------------------------------------------------------


def test_a_task_leaves_no_model_in_memory(empty: Study) -> None:
    """A trainer refers to itself; beside the next cell's it would fill a GPU."""
    (run,) = empty.plan({"dpo": {}}, seeds=1).runs
    gc.disable()
    try:
        outcome = do(run, empty.settings)
    finally:
        gc.enable()
    assert outcome.error is None
    assert not [o for o in gc.get_objects() if type(o).__name__ == "TGDPOTrainer"]


# -- Ray ------------------------------------------------------------------------------------------


def test_a_ray_cluster_gives_the_same_numbers(
    study: Study, first: Any, ray_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the second seed, which has the cells that fail."""
    monkeypatch.chdir(study.home)
    relative = {"data.path": "train.jsonl", "data.eval_path": "test.jsonl"}
    ours = Study(study.home, tmp_path / "out", study.plugin_files)
    ablation = ours.plan({**SOUND, **FAILING}, set=relative, seeds=[1])
    with RayExecutor(ray_address) as executor:
        _, reports = call(ours, ablation, executor)
    _, local = first
    runs = {label for label in local.outcomes if label.endswith("(seed 1)")}
    assert {label for label in reports.outcomes if not label.startswith("score")} == {
        label for label in runs if not label.startswith("score")
    }
    assert reports.errors.keys() == local.errors.keys()
    assert ours.rows() == [row for row in study.rows() if row["seed"] == "1"]
    assert any((tmp_path / "store").iterdir()), "tasks use the store of the program"


def test_a_task_that_no_node_can_take_is_warned_of(
    ray_address: str, caplog: pytest.LogCaptureFixture
) -> None:
    with RayExecutor(ray_address, cpus=64, gpus=2):
        pass
    assert "No node of the Ray cluster has 64 CPU and 2 GPU" in caplog.text
    caplog.clear()
    with RayExecutor(ray_address):
        pass
    assert caplog.text == ""
