"""K1, K3, K8, K9: one folder, one process, and a disk that is full."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tgdpo_core import TGDPOTrainer
from tgdpo_core.errors import CheckpointError, UsageError
from tgdpo_core.training.durability.checkpoints import Checkpoints
from tgdpo_core.training.durability.folder_lock import held
from tgdpo_core.training.run_folder import RunFolder

Build = Callable[..., TGDPOTrainer]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_K3_a_save_that_does_not_fit_is_not_begun(
    tmp_path: Path,
    build: Build,
    at: Any,
    monkeypatch: pytest.MonkeyPatch,
    record: Callable[[Path], dict[str, Any]],
) -> None:
    def fill() -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(10, 10, 2**20))

    with pytest.raises(CheckpointError, match=r"step 4 needs .* MiB free") as caught:
        build(tmp_path / "run", callbacks=[at(3, fill)]).train()
    assert caught.value.exit_code == 5
    assert record(tmp_path / "run")["status"] == "failed"
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["checkpoint-2"]


@pytest.mark.parametrize("file", ["optimizer.pt", "manifest.json", "running_sums"])
def test_K3_a_disk_that_fills_up_in_a_save_keeps_the_one_before(
    file: str,
    tmp_path: Path,
    whole: Path,
    build: Build,
    at: Any,
    monkeypatch: pytest.MonkeyPatch,
    require_equal: Callable[..., None],
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail(*args: Any, **kwargs: Any) -> None:
        raise full

    places = {
        "optimizer.pt": "torch.save",
        "manifest.json": "tgdpo_core.training.durability.checkpoints.seal",
        "running_sums": "tgdpo_core.training.durability.running_sums.save_file",
    }
    with monkeypatch.context() as patch:
        callback = at(3, lambda: patch.setattr(places[file], fail))
        with pytest.raises(CheckpointError, match="step 4 could not be written"):
            build(tmp_path / "run", callbacks=[callback]).train()
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["checkpoint-2"]
    build(tmp_path / "run").train(resume_from_checkpoint=True)
    require_equal(tmp_path / "run", whole)


def fake(folder: Path, step: int) -> Path:
    checkpoints = Checkpoints(folder)
    (checkpoints.stage(step) / "weights.bin").write_bytes(b"x" * step)
    return checkpoints.commit(step, {})


@pytest.mark.parametrize("left", [".staged-checkpoint-6", ".deleted-checkpoint-2"])
def test_K1_what_a_kill_left_half_done_is_cleaned(left: str, tmp_path: Path) -> None:
    fake(tmp_path, 4)
    (tmp_path / left).mkdir()
    (tmp_path / left / "weights.bin").write_bytes(b"half")
    Checkpoints(tmp_path).clean()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-4"]


def test_K1_a_checkpoint_that_was_about_to_be_replaced_is_put_back(tmp_path: Path) -> None:
    fake(tmp_path, 4).rename(tmp_path / ".replaced-checkpoint-4")
    Checkpoints(tmp_path).clean()
    assert Checkpoints(tmp_path).newest_whole().path == tmp_path / "checkpoint-4"


def test_K1_rotation_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    paths = {step: fake(tmp_path, step) for step in (1, 2, 3, 10)}
    Checkpoints(tmp_path).rotate(2, newest=paths[10], keep=paths[1])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-1", "checkpoint-10"]


def test_K9_a_second_process_in_the_same_folder_is_refused_with_the_first_ones_name(
    tmp_path: Path, build: Build
) -> None:
    trainer = build(tmp_path / "run")
    other = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout
    assert other.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match=rf"in use by process {other.pid} on "):
        trainer.train()
    other.kill()
    other.wait()
    other.stdout.close()
    trainer.train()  # the lock died with its holder


_HOLD = """
import sys, time
from pathlib import Path
from tgdpo_core.training.durability.folder_lock import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_K9_a_run_whose_process_is_gone_is_not_called_running(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    process = {"pid": 4321, "host": "node7", "since": "2026-01-02T03:04:05+00:00"}
    folder.write_text("run.json", json.dumps({"status": "running", "process": process}))
    with pytest.raises(UsageError, match=r"killed: process 4321 on node7 \(since 2026.*gone"):
        folder.require_free(resume=False, overwrite=False)
    with held(folder.path):
        assert folder.status() == "running"
