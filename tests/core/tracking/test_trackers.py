"""Trackers: what a run leaves in TensorBoard, and what one that fails does to a run."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.errors import UsageError
from tgdpo_core.recipe.optional_packages import TRACKERS
from tgdpo_core.reports.value_histograms import png_of
from tgdpo_core.tracking import open_trackers as opening
from tgdpo_core.tracking.open_trackers import TRACKED, open_trackers, require_usable
from tgdpo_core.tracking.tracker import TrackedRun, Tracker, flat, markdown, project_of

CONFIG = {"loss": {"beta": 0.1}, "reward": [{"plugin": "induced", "args": {"beta": 0.2}}]}


@pytest.fixture
def run(tmp_path: Path) -> TrackedRun:
    return TrackedRun("dpo,beta=0.1/seed-0", tmp_path, CONFIG, group="mine")


@pytest.fixture
def png() -> bytes:
    from matplotlib.figure import Figure

    return png_of(Figure(figsize=(1, 1)))


def events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def scalars(found: Any, name: str) -> dict[int, float]:
    return {event.step: round(event.value, 4) for event in found.Scalars(name)}


def test_tensorboard_gets_numbers_pictures_tables_and_the_recipe(
    run: TrackedRun, png: bytes
) -> None:
    trackers = open_trackers(["tensorboard"], run)
    trackers.numbers({"loss": 0.5, "eval_loss": 0.4, "note": "text", "bad": float("inf")}, 3)
    trackers.picture("weights", png)
    trackers.table("results", ("cell", "solved"), [("a|b", "0.5")])
    trackers.close(failed=False)
    found = events(run.folder / "tensorboard")
    assert (scalars(found, "train/loss"), scalars(found, "eval/loss")) == ({3: 0.5}, {3: 0.4})
    assert "train/bad" not in found.Tags()["scalars"]
    assert found.Tags()["images"] == ["weights"]
    texts = {name: found.Tensors(name)[0].tensor_proto.string_val[0] for name in text_names(found)}
    assert b"a\\|b" in texts["results/text_summary"]
    assert b'"beta": 0.2' in texts["config/text_summary"]
    assert "_hparams_/experiment" in found.summary_metadata


def text_names(found: Any) -> list[str]:
    return [name for name in found.Tags()["tensors"] if name.endswith("text_summary")]


def test_a_resumed_run_replaces_what_came_after_its_checkpoint(run: TrackedRun) -> None:
    first = open_trackers(["tensorboard"], run)
    for step in (1, 2, 3):
        first.numbers({"loss": step}, step)
    first.close(failed=True)
    again = TrackedRun(run.name, run.folder, CONFIG, ids=first.ids, step=2)
    second = open_trackers(["tensorboard"], again)
    second.numbers({"loss": 30}, 3)
    second.close(failed=False)
    assert scalars(events(run.folder / "tensorboard"), "train/loss") == {1: 1, 2: 2, 3: 30}


def test_runs_under_one_logging_folder_do_not_share_a_folder(
    run: TrackedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "all"))
    open_trackers(["tensorboard"], run).close(failed=False)
    assert list((tmp_path / "all" / "mine" / "dpo,beta=0.1-seed-0").glob("events*"))


class _Broken(Tracker):
    """A tracker whose server is away: from the start, or from the first number on."""

    id = "7"

    def __init__(self, run: TrackedRun) -> None:
        if not run.config:
            raise ConnectionError("no route\nto the server")

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        raise TimeoutError("gone")

    def picture(self, name: str, png: bytes) -> None:
        raise AssertionError("nothing more is sent")

    def table(self, name: str, columns: Any, rows: Any) -> None:
        raise AssertionError("nothing more is sent")

    def close(self, *, failed: bool) -> None:
        raise AssertionError("nothing more is sent")


def _no_server(project: str | None) -> None:
    raise ValueError("bad URI 'http://user:secret-word@host'\nin three\nlines")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = opening._Kind(_no_server, _Broken)
    monkeypatch.setattr(opening, "_KINDS", {**opening._KINDS, "mlflow": kind})


@pytest.mark.usefixtures("broken")
def test_a_tracker_that_cannot_be_used_is_one_line_without_passwords() -> None:
    with pytest.raises(UsageError, match="report_to=mlflow cannot be used: ValueError: bad") as met:
        require_usable(["tensorboard", "mlflow"])
    assert "\n" not in str(met.value)
    assert "secret-word" not in str(met.value)


@pytest.mark.usefixtures("broken")
def test_one_that_cannot_be_opened_closes_the_others(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ConnectionError: no route to the server"):
        open_trackers(["tensorboard", "mlflow"], TrackedRun("r", tmp_path))
    assert list((tmp_path / "tensorboard").glob("events*"))


@pytest.mark.usefixtures("broken")
def test_one_that_fails_later_is_said_once_and_the_others_go_on(
    run: TrackedRun, png: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    trackers = open_trackers(["mlflow", "tensorboard"], run)
    trackers.numbers({"loss": 1.0}, 1)
    trackers.picture("weights", png)
    trackers.numbers({"loss": 2.0}, 2)
    trackers.close(failed=False)
    assert [record.message.partition(" ")[0] for record in caplog.records] == ["mlflow"]
    assert trackers.failed == {"mlflow": "at step 1: TimeoutError: gone"}
    assert scalars(events(run.folder / "tensorboard"), "train/loss") == {1: 1.0, 2: 2.0}


def test_secrets_reach_no_table(run: TrackedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "not-a-real-secret")
    trackers = open_trackers(["tensorboard"], run)
    trackers.table("t", ("a",), [("x not-a-real-secret y",)])
    trackers.close(failed=False)
    (file,) = (run.folder / "tensorboard").iterdir()
    assert b"not-a-real-secret" not in file.read_bytes()
    assert b"MY_TOKEN" in file.read_bytes()


@pytest.mark.parametrize(
    ("given", "variable", "expected"),
    [("huggingface", None, "tgdpo"), ("mine", None, "mine"), ("mine", "env", "env")],
)
def test_the_project_is_named_by_variable_setting_or_package(
    given: str, variable: str | None, expected: str
) -> None:
    assert project_of(given, variable) == expected


def test_a_nested_config_is_flattened_with_lists_of_sections() -> None:
    assert dict(flat({**CONFIG, "requires": ["a", "b"], "empty": {}})) == {
        "loss.beta": 0.1,
        "reward.0.plugin": "induced",
        "reward.0.args.beta": 0.2,
        "requires": ["a", "b"],
        "empty": {},
    }


def test_a_cell_of_a_table_cannot_end_it() -> None:
    assert markdown(("a",), [("x | y",)]).splitlines()[2] == "| x \\| y |"


@pytest.mark.checkout
def test_every_tracker_that_is_served_has_an_extra() -> None:
    pyproject = Path(__file__).parents[3] / "pyproject.toml"
    extras = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    assert set(TRACKED) <= set(extras)
    assert all(TRACKERS[name].install == f"'tgdpo[{name}]'" for name in TRACKED)
