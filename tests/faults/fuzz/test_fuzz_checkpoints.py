"""K2, K8: whatever lies in a run folder: what was saved is told from what was not, in words."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.faults.fuzz.effort import cases, outcome
from tests.faults.fuzz.mutations import as_json, damaged, edited
from tgdpo_core.errors import TgdpoError, UsageError
from tgdpo_core.training.callbacks import JsonlLog
from tgdpo_core.training.durability.checkpoints import Checkpoints
from tgdpo_core.training.durability.manifest import damage
from tgdpo_core.training.durability.resume_guard import require_same
from tgdpo_core.training.durability.run_check import check_run
from tgdpo_core.training.durability.running_sums import RunningSums, read_sums

IDENTITY = {"optim": "adamw", "lora": None, "versions.torch": "2.11", "seed": 5, "data.order": "a"}
STATE = {"global_step": 4, "epoch": 0.5, "log_history": [{"loss": 0.5, "step": 4}]}
RECORD = {
    "status": "done",
    "process": {"pid": 1, "host": "a", "since": "2026-01-01T00:00:00+00:00"},
    "resumes": [{"from": "checkpoint-2"}],
    "store": {"passes": {"reference": {"key": "ab"}}},
}
NAMES = ("model.safetensors", "trainer_state.json", "identity.json", "running_sums-0.safetensors")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with two small checkpoints."""
    folder = tmp_path_factory.mktemp("fuzz") / "run"
    checkpoints = Checkpoints(folder / "checkpoints")
    for step in (2, 4):
        staged = checkpoints.stage(step)
        save_file({"w": torch.arange(8.0) + step}, staged / "model.safetensors")
        (staged / "trainer_state.json").write_text(json.dumps(STATE))
        (staged / "identity.json").write_text(json.dumps(IDENTITY))
        RunningSums(total_loss=1.5, last_logged=step).write(staged, 0, torch.ones(2, 3))
        checkpoints.commit(step, {"versions": {"torch": "2.11"}})
    (folder / "run.json").write_text(json.dumps(RECORD))
    return folder


@pytest.fixture(scope="module")
def newest(run: Path) -> Path:
    return run / "checkpoints" / "checkpoint-4"


class Replaced:
    """A file with other content, for as long as a case lasts."""

    def __init__(self, path: Path, data: bytes | None) -> None:
        self._path, self._data = path, data
        self._before = path.read_bytes() if path.exists() else None

    def __enter__(self) -> bool:
        """Return whether the content differs."""
        if self._data is None:
            self._path.unlink(missing_ok=True)
        else:
            self._path.write_bytes(self._data)
        return self._data != self._before

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            self._path.unlink(missing_ok=True)
        else:
            self._path.write_bytes(self._before)


@cases()
@given(data=st.data(), name=st.sampled_from(NAMES))
def test_a_file_of_a_checkpoint_is_what_was_saved_or_damage(
    data: st.DataObject, name: str, run: Path, newest: Path
) -> None:
    whole = (newest / name).read_bytes()
    with Replaced(newest / name, data.draw(damaged(whole) | st.none())) as differs:
        assert bool(damage(newest)) == differs
        found = Checkpoints(run / "checkpoints").newest_whole()
        assert found.path == (run / "checkpoints" / "checkpoint-2" if differs else newest)


@cases()
@given(data=st.data())
def test_a_manifest_is_the_one_that_was_written_or_damage(
    data: st.DataObject, newest: Path
) -> None:
    whole = (newest / "manifest.json").read_bytes()
    bad = data.draw(damaged(whole) | edited(json.loads(whole)).map(as_json))
    with Replaced(newest / "manifest.json", bad):
        if not damage(newest):
            assert json.loads(bad) == json.loads(whole)


@cases()
@given(name=st.text(min_size=1, max_size=8) | st.sampled_from(["a.pt", "b.safetensors", "c/d.bin"]))
def test_a_file_beside_a_checkpoint_that_a_loader_could_take_is_damage(
    name: str, newest: Path
) -> None:
    path = newest / name
    if not is_new_file(path, newest):
        return
    path.parent.mkdir(exist_ok=True)
    with Replaced(path, b"x"):
        loadable = name.endswith((".safetensors", ".bin", ".pt", ".pth", ".json", ".distcp"))
        assert bool(damage(newest)) == loadable
    if path.parent != newest:
        shutil.rmtree(path.parent)


def is_new_file(path: Path, folder: Path) -> bool:
    """Return whether a name is one that a file in a folder can have."""
    try:
        inside = folder in path.resolve().parents and not path.exists()
        path.name.encode()
    except (ValueError, OSError):
        return False
    return inside and (path.parent == folder or path.parent.name == "c")


@cases()
@given(bad=damaged(as_json(IDENTITY)) | edited(IDENTITY).map(as_json))
def test_what_a_checkpoint_belongs_to_is_this_run_or_refused(bad: bytes, newest: Path) -> None:
    with Replaced(newest / "identity.json", bad):
        found = outcome(lambda: require_same(newest, IDENTITY, ()))
        if not isinstance(found, TgdpoError):
            assert without_nulls(json.loads(bad)) == without_nulls(IDENTITY)


def without_nulls(values: dict[str, Any]) -> dict[str, Any]:
    """Return what is set: null and absent are one."""
    return {name: value for name, value in values.items() if value is not None}


@cases()
@given(data=st.data())
def test_sums_are_read_or_named_as_damage(data: st.DataObject, newest: Path) -> None:
    path = newest / "running_sums-0.safetensors"
    with Replaced(path, data.draw(damaged(path.read_bytes()))):
        found = outcome(lambda: read_sums(newest, 0))
        assert isinstance(found, TgdpoError | tuple)
        if isinstance(found, TgdpoError):
            assert found.exit_code == 5


@cases()
@given(bad=damaged(as_json(RECORD)) | edited(RECORD).map(as_json))
def test_a_record_of_a_run_is_read_or_said_to_be_damaged(bad: bytes, run: Path) -> None:
    with Replaced(run / "run.json", bad):
        found = outcome(lambda: check_run(run))
        assert not isinstance(found, UsageError)
        if not isinstance(found, TgdpoError):
            assert found.resumes_from == "checkpoint-4"


ROWS = b"".join(as_json({"step": step, "loss": 0.5}) + b"\n" for step in range(1, 5))


@cases(0.5)
@given(bad=damaged(ROWS) | st.lists(edited({"step": 2, "loss": 0.5}).map(as_json)).map(b"\n".join))
def test_a_resumed_log_keeps_whole_rows_up_to_its_step(bad: bytes, run: Path) -> None:
    class State:
        is_world_process_zero = True
        global_step = 2

    path = run / "train.jsonl"
    with Replaced(path, bad):
        JsonlLog(path).on_train_begin(None, State(), None)
        for line in path.read_text(encoding="utf-8").splitlines():
            assert float(json.loads(line)["step"]) <= 2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Path:
    folder = tmp_path_factory.mktemp("fuzzed-model") / "model"
    shutil.copytree(model_folder, folder)
    return folder


@cases(0.1)
@given(data=st.data())
def test_a_header_of_safetensors_is_read_or_named_as_damage(
    data: st.DataObject, model: Path
) -> None:
    from tgdpo_core.models.loading import Trust, load_frozen
    from tgdpo_core.models.precision import Precision

    path = model / "model.safetensors"
    whole = path.read_bytes()
    size = 8 + int.from_bytes(whole[:8], "little")
    header = data.draw(
        damaged(whole[:size]) | edited(json.loads(whole[8:size])).map(as_json).map(with_length)
    )

    def load() -> Any:
        return load_frozen(str(model), precision=Precision(), trust=Trust())

    with Replaced(path, header + whole[size:]) as differs:
        found = outcome(load)
        if isinstance(found, TgdpoError):
            assert differs
            return
        weights = list(found.state_dict().values())
    assert all(tensor.device.type == "cpu" for tensor in weights)


def with_length(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header
