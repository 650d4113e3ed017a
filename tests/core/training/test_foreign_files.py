"""Files that a run did not write: never replaced, never a traceback."""

import errno
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core import TGDPOTrainer
from tgdpo_core.errors import CheckpointError, UsageError
from tgdpo_core.training.callbacks import JsonlLog
from tgdpo_core.training.durability.checkpoints import Checkpoints
from tgdpo_core.training.run_folder import RunFolder

MakeTrainer = Callable[..., TGDPOTrainer]


@pytest.mark.parametrize("name", ["model/model.safetensors", "README.md", "notes.txt", ".hidden"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_files_and_no_run_is_refused_and_left_alone(
    make_trainer: MakeTrainer, tmp_path: Path, name: str, overwrite: bool
) -> None:
    mine = tmp_path / "run" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(UsageError, match=r"and no run of tgdpo"):
        make_trainer(overwrite=overwrite)
    assert mine.read_text() == "mine"
    assert [p for p in (tmp_path / "run").rglob("*") if p.is_file()] == [mine]


def test_an_empty_folder_and_what_an_ablation_writes_beside_a_run_are_no_hindrance(
    tmp_path: Path,
) -> None:
    RunFolder(tmp_path / "absent").require_own()
    RunFolder(tmp_path).require_own()
    for name in ("output.txt", "error.txt"):
        (tmp_path / name).write_text("a cell's")
    RunFolder(tmp_path).require_own()


def test_a_trainer_that_has_evaluated_may_train(
    make_trainer: MakeTrainer, small_rows: list[dict[str, Any]]
) -> None:
    trainer = make_trainer(eval_dataset=small_rows[:2], max_steps=1)
    trainer.evaluate()
    RunFolder(trainer.args.output_dir).require_own()
    trainer.train()
    assert RunFolder(trainer.args.output_dir).read()["status"] == "done"


def test_what_is_no_checkpoint_is_not_resumed(tmp_path: Path) -> None:
    for name in ("checkpoint-4", "checkpoint-12", "checkpoint-foo", "checkpoint-9-old"):
        folder = tmp_path / "checkpoints" / name
        folder.mkdir(parents=True)
        (folder / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoints" / "checkpoint-30").mkdir()
    (tmp_path / "checkpoints" / "checkpoint-file").write_text("x")
    found = Checkpoints(tmp_path / "checkpoints").newest_whole()
    assert found.path is None
    assert {path.name for path in found.skipped} >= {"checkpoint-4", "checkpoint-12"}


JUNK = ["no JSON", "[1, 2]", '{"loss": 3}', '{"step": null}', "\udcff", "7", ""]


@pytest.mark.parametrize("junk", JUNK)
def test_a_line_of_the_log_that_is_no_row_is_left_out_with_a_word(
    tmp_path: Path, junk: str, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [json.dumps({"step": n, "loss": 0.5}) for n in (1, 2, 3)]
    path = tmp_path / "train.jsonl"
    lines = [rows[0], junk, *rows[1:]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")
    state = type("State", (), {"is_world_process_zero": True, "global_step": 2})
    JsonlLog(path).on_train_begin(None, state, None)
    assert path.read_text().splitlines() == rows[:2]
    assert "no log rows" in caplog.text


def test_a_row_that_a_kill_cut_off_is_left_out_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo')
    state = type("State", (), {"is_world_process_zero": True, "global_step": 5})
    JsonlLog(path).on_train_begin(None, state, None)
    assert path.read_text() == '{"step": 1}\n'
    assert caplog.text == ""


@pytest.mark.parametrize("name", ["model", "checkpoints"])
def test_a_link_is_removed_and_never_what_it_points_to(
    make_trainer: MakeTrainer, tmp_path: Path, name: str
) -> None:
    trainer = make_trainer(max_steps=1)
    trainer.train()
    folder = RunFolder(trainer.args.output_dir)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    folder.clear()
    (folder.path / name).symlink_to(precious)
    folder.staged_model.mkdir(exist_ok=True)
    folder.commit_model("card") if name == "model" else folder.clear()
    assert (precious / "file").read_text() == "mine"
    assert not (folder.path / name).is_symlink()


def test_what_was_judged_of_a_model_goes_with_it(tmp_path: Path) -> None:
    (tmp_path / "evaluation" / "mood").mkdir(parents=True)
    (tmp_path / "mine.txt").write_text("x")
    RunFolder(tmp_path).clear()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_resume_without_a_checkpoint_says_that_it_starts_anew(
    make_trainer: MakeTrainer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        make_trainer(max_steps=1).train(resume_from_checkpoint=True)
    assert "holds no checkpoint: from the beginning" in caplog.text


def full_disk(*args: Any, **kwargs: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_in_a_save_names_the_folder_and_what_is_kept(
    make_trainer: MakeTrainer,
    monkeypatch: pytest.MonkeyPatch,
    run_record: Callable[..., dict[str, Any]],
) -> None:
    trainer = make_trainer(save_strategy="steps", save_steps=1)
    save = trainer._save_rng_state
    monkeypatch.setattr(
        trainer,
        "_save_rng_state",
        lambda *a: full_disk() if trainer.state.global_step == 2 else save(*a),
    )
    with pytest.raises(CheckpointError, match=r"step 2 .*checkpoints.*No space left.*is kept"):
        trainer.train()
    record = run_record(trainer.args.output_dir)
    assert (record["status"], record["exit_code"]) == ("failed", 5)


def test_a_record_that_cannot_be_written_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(CheckpointError, match=r"run\.json cannot be written: .*No space left"):
        RunFolder(tmp_path).write_text("run.json", "{}")


def test_the_card_of_a_run_made_in_python_is_honest(
    make_trainer: MakeTrainer, model_folder: Path, perturb: Callable[..., Any]
) -> None:
    for name, model in (("named", str(model_folder)), ("object", perturb(1))):
        trainer = make_trainer(name, model=model, max_steps=1)
        trainer.train()
        card = (Path(trainer.args.output_dir) / "README.md").read_text()
        assert f"from `{model_folder.name}` (llama, " in card
        assert " on rows given in Python (12 pairs)." in card
        assert "`settings.yaml`" in card
        assert not (Path(trainer.args.output_dir) / "config.yaml").exists()
