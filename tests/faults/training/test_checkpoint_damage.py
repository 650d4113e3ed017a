"""K1, K2, K6, K7, K10: damaged checkpoints are skipped by content, never loaded."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core import TGDPOTrainer
from tgdpo_core.errors import CheckpointError
from tgdpo_core.training.durability.checkpoints import Checkpoints

Build = Callable[..., TGDPOTrainer]
Equal = Callable[[Path, Path], None]


def flip(path: Path, place: float = 0.75) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 0x40
    path.write_bytes(data)


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def foreign(path: Path, other: Path) -> None:
    shutil.copy(other, path)


def rename(path: Path) -> None:
    path.rename(path.with_name("other.json"))


FILES = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors", "trainer_state.json")
DAMAGE: dict[str, Callable[[Path], None]] = {
    **{f"{name} missing": lambda c, n=name: (c / n).unlink() for name in FILES},  # type: ignore[misc]
    **{f"{name} of 0 bytes": lambda c, n=name: os.truncate(c / n, 0) for name in FILES},  # type: ignore[misc]
    **{
        f"{name} half": lambda c, n=name: os.truncate(c / n, (c / n).stat().st_size // 2)
        for name in FILES
    },  # type: ignore[misc]
    **{f"{name} with a flipped bit": lambda c, n=name: flip(c / n) for name in FILES},  # type: ignore[misc]
    "state of another step": lambda c: edit(c / "trainer_state.json", global_step=3),
    "weights of another step": lambda c: foreign(
        c / "model.safetensors", c.parent / "checkpoint-2" / "model.safetensors"
    ),
    "config.json missing": lambda c: (c / "config.json").unlink(),
    "manifest missing": lambda c: (c / "manifest.json").unlink(),
    "manifest edited": lambda c: edit(c / "manifest.json", step=9),
    "manifest is a list": lambda c: (c / "manifest.json").write_text("[]") and None,
    "manifest of a later version": lambda c: edit(c / "manifest.json", format=99),
    "weights beside it": lambda c: (c / "adapter_model.safetensors").write_bytes(b"x") and None,
    "sums missing": lambda c: (c / "running_sums-0.safetensors").unlink(),
    "empty": lambda c: [p.unlink() for p in c.iterdir()] and None,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_K2_a_damaged_checkpoint_is_skipped_for_the_one_before(kind: str, killed: Path) -> None:
    checkpoints = Checkpoints(killed / "checkpoints")
    DAMAGE[kind](killed / "checkpoints" / "checkpoint-4")
    found = checkpoints.newest_whole()
    assert found.path == killed / "checkpoints" / "checkpoint-2"
    assert [path.name for path in found.skipped] == ["checkpoint-4"]


@pytest.mark.parametrize("kind", ["optimizer.pt with a flipped bit", "state of another step"])
def test_K2_a_run_with_a_damaged_checkpoint_ends_exact_and_says_what_it_skipped(
    kind: str,
    killed: Path,
    whole: Path,
    build: Build,
    require_equal: Equal,
    record: Callable[[Path], dict[str, Any]],
) -> None:
    DAMAGE[kind](killed / "checkpoints" / "checkpoint-4")
    build(killed).train(resume_from_checkpoint=True)
    require_equal(killed, whole)
    (resume,) = record(killed)["resumes"]
    assert resume["from"] == "checkpoint-2"
    assert list(resume["skipped"]) == ["checkpoint-4"]
    assert (killed / "checkpoints" / "set-aside" / "checkpoint-4.1").is_dir()


def test_K2_where_no_checkpoint_is_whole_nothing_is_touched(killed: Path, build: Build) -> None:
    for name in ("checkpoint-2", "checkpoint-4"):
        flip(killed / "checkpoints" / name / "model.safetensors")
    before = sorted(path.name for path in (killed / "checkpoints").iterdir())
    with pytest.raises(CheckpointError, match=r"(?s)No checkpoint.*checkpoint-4: model.safetens"):
        build(killed).train(resume_from_checkpoint=True)
    assert sorted(path.name for path in (killed / "checkpoints").iterdir()) == before


def test_K6_K7_a_killed_run_ends_with_the_same_weights_and_the_same_log(
    killed: Path, whole: Path, build: Build, require_equal: Equal
) -> None:
    build(killed).train(resume_from_checkpoint=True)
    require_equal(killed, whole)


def test_K7_rows_between_two_saves_keep_what_was_summed_before_them(
    tmp_path: Path, build: Build, at: Any, require_equal: Equal
) -> None:
    settings = {"logging_steps": 3, "save_steps": 2}
    build(tmp_path / "a", **settings).train()
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "b", callbacks=[at(5, _ctrl_c)], **settings).train()
    build(tmp_path / "b", **settings).train(resume_from_checkpoint=True)
    require_equal(tmp_path / "b", tmp_path / "a")


def test_K7_a_run_killed_after_its_last_save_takes_no_further_step(
    tmp_path: Path, build: Build, require_equal: Equal
) -> None:
    settings = {"max_steps": 5, "save_steps": 5}  # in the middle of the second epoch
    build(tmp_path / "a", **settings).train()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(tmp_path / "b" / "model")
    build(tmp_path / "b", **settings).train(resume_from_checkpoint=True)
    require_equal(tmp_path / "b", tmp_path / "a")


def test_K10_a_checkpoint_says_which_versions_wrote_it(killed: Path) -> None:
    manifest = json.loads((killed / "checkpoints" / "checkpoint-4" / "manifest.json").read_text())
    assert {"tgdpo", "torch", "transformers", "accelerate"} <= manifest["versions"].keys()


def _ctrl_c() -> None:
    raise KeyboardInterrupt
