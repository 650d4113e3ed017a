"""The run folder from start to end: complete, resumable, protected, and honest about failures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from tgdpo_core import TGDPOTrainer
from tgdpo_core.errors import NumericError, UsageError
from tgdpo_plugins.shapings.linear import Linear

MakeTrainer = Callable[..., TGDPOTrainer]
Rows = list[dict[str, Any]]


class StopAt(TrainerCallback):
    """Ends the process's run when a step begins, as Ctrl-C would."""

    def __init__(self, steps_done: int) -> None:
        self._steps_done = steps_done

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Raise in the middle of the run."""
        if state.global_step == self._steps_done:
            raise KeyboardInterrupt


# -- a complete run -------------------------------------------------------------------------------


@pytest.fixture
def done(make_trainer: MakeTrainer) -> TGDPOTrainer:
    """A trainer after a run of three steps with checkpoints."""
    trainer = make_trainer(save_strategy="steps", save_steps=1, save_total_limit=None)
    trainer.train()
    return trainer


def test_a_finished_run_folder_is_complete(done: TGDPOTrainer) -> None:
    folder = Path(done.args.output_dir)
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    expected = {
        "run.json",
        "settings.yaml",
        "README.md",
        "logs/train.jsonl",
        "model/config.json",
        "model/model.safetensors",
        "model/tokenizer.json",
        *(f"checkpoints/checkpoint-{n}/model.safetensors" for n in (1, 2, 3)),
        *(f"checkpoints/checkpoint-{n}/trainer_state.json" for n in (1, 2, 3)),
    }
    assert expected <= found
    assert {path.name for path in folder.iterdir()} == {
        "run.json",
        "settings.yaml",
        "README.md",
        "logs",
        "model",
        "checkpoints",
        "plots",
        "report.html",
        ".lock",
    }


def test_run_json_says_that_a_run_is_done(
    done: TGDPOTrainer, run_record: Callable[..., dict[str, Any]]
) -> None:
    record = run_record(done.args.output_dir)
    assert (record["status"], record["exit_code"], record["global_step"]) == ("done", 0, 3)
    assert record["versions"]["torch"] == torch.__version__
    assert record["seeds"] == {"seed": 5, "data_seed": None}
    assert (record["engine"]["layout"], record["engine"]["head"]) == ("share", "chunked")
    assert record["store"]["computed"] == 24  # reference log-probs and rewards of twelve pairs
    assert set(record["fingerprints"]) == {"data", "tokenizer", "reference"}


def test_run_json_says_running_while_a_run_goes_on(
    make_trainer: MakeTrainer, run_record: Callable[..., dict[str, Any]]
) -> None:
    seen: list[str] = []

    class Look(TrainerCallback):
        def on_step_end(self, args: Any, *others: Any, **kwargs: Any) -> None:
            seen.append(run_record(args.output_dir)["status"])

    make_trainer(callbacks=[Look()]).train()
    assert seen == ["running"] * 3


def test_the_model_folder_holds_the_trained_weights(done: TGDPOTrainer) -> None:
    folder = Path(done.args.output_dir) / "model"
    saved = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    trained = done.model.state_dict()
    assert all(torch.equal(saved[name], trained[name]) for name in trained)


def test_the_model_folder_holds_the_tokenizer(done: TGDPOTrainer, small_tokenizer: Any) -> None:
    saved = AutoTokenizer.from_pretrained(Path(done.args.output_dir) / "model")
    assert saved("Two plus two").input_ids == small_tokenizer("Two plus two").input_ids


def test_settings_yaml_holds_the_settings_and_no_token(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(hub_token="hf_not_for_files")
    trainer.train()
    text = (Path(trainer.args.output_dir) / "settings.yaml").read_text()
    assert "this is no recipe" in text
    settings = yaml.safe_load(text)
    assert (settings["learning_rate"], settings["beta"]) == (1e-3, 0.1)
    written = [p for p in Path(trainer.args.output_dir).rglob("*") if p.is_file()]
    assert not [path for path in written if b"hf_not_for_files" in path.read_bytes()]


def test_no_pickle_of_the_settings_is_written_anywhere(done: TGDPOTrainer) -> None:
    assert list(Path(done.args.output_dir).rglob("training_args*")) == []


def test_the_log_has_one_row_a_step_and_a_closing_one(
    done: TGDPOTrainer, log_rows: Callable[..., Rows]
) -> None:
    rows = log_rows(done.args.output_dir)
    assert [row["step"] for row in rows] == [1, 2, 3, 3]
    assert ["loss" in row for row in rows] == [True, True, True, False]


def test_evaluating_without_training_logs_its_row(
    make_trainer: MakeTrainer, small_rows: Rows, log_rows: Callable[..., Rows]
) -> None:
    trainer = make_trainer(eval_dataset=small_rows[:3])
    metrics = trainer.evaluate()
    (row,) = log_rows(trainer.args.output_dir)
    assert row["eval_loss"] == metrics["eval_loss"]


# -- resuming -------------------------------------------------------------------------------------

SAVING = {
    "save_strategy": "steps",
    "save_steps": 2,
    "num_train_epochs": 2,
    "lr_scheduler_type": "cosine",
}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a finished run's model."""
    return load_file(folder / "model" / "model.safetensors")


@pytest.fixture
def two_runs(make_trainer: MakeTrainer) -> tuple[Path, Path]:
    """An uninterrupted run of six steps, and one stopped after five and resumed from four."""
    whole = make_trainer("whole", **SAVING)
    whole.train()
    stopped = make_trainer("stopped", callbacks=[StopAt(5)], **SAVING)
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    resumed = make_trainer("stopped", **SAVING)
    resumed.train(resume_from_checkpoint=True)
    return Path(whole.args.output_dir), Path(resumed.args.output_dir)


def test_a_resumed_run_ends_with_bit_identical_weights(two_runs: tuple[Path, Path]) -> None:
    expected, found = (weights(folder) for folder in two_runs)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_resumed_run_leaves_the_same_log(
    two_runs: tuple[Path, Path], log_rows: Callable[..., Rows]
) -> None:
    expected, found = (log_rows(folder) for folder in two_runs)
    assert found == expected


def test_a_resumed_run_is_done(
    two_runs: tuple[Path, Path], run_record: Callable[..., dict[str, Any]]
) -> None:
    record = run_record(two_runs[1])
    assert (record["status"], record["exit_code"], record["global_step"]) == ("done", 0, 6)


def test_a_checkpoint_can_be_named(make_trainer: MakeTrainer, two_runs: tuple[Path, Path]) -> None:
    whole, _ = two_runs
    trainer = make_trainer("named", **SAVING)
    trainer.train(resume_from_checkpoint=str(whole / "checkpoints" / "checkpoint-4"))
    expected, found = weights(whole), weights(Path(trainer.args.output_dir))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_resuming_where_nothing_was_saved_starts_from_the_beginning(
    make_trainer: MakeTrainer, two_runs: tuple[Path, Path]
) -> None:
    trainer = make_trainer("empty", **SAVING)
    trainer.train(resume_from_checkpoint=True)
    expected, found = weights(two_runs[0]), weights(Path(trainer.args.output_dir))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_log_row_cut_off_by_a_kill_does_not_stop_the_resumed_run(
    make_trainer: MakeTrainer, log_rows: Callable[..., Rows]
) -> None:
    stopped = make_trainer("stopped", callbacks=[StopAt(5)], **SAVING)
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    log = Path(stopped.args.output_dir) / "logs" / "train.jsonl"
    log.write_text(log.read_text()[:-40])
    make_trainer("stopped", **SAVING).train(resume_from_checkpoint=True)
    assert [row["step"] for row in log_rows(stopped.args.output_dir)] == [1, 2, 3, 4, 5, 6, 6]


def test_an_interrupted_run_says_so_and_has_no_model(
    make_trainer: MakeTrainer, run_record: Callable[..., dict[str, Any]]
) -> None:
    trainer = make_trainer(callbacks=[StopAt(1)])
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    folder = Path(trainer.args.output_dir)
    record = run_record(folder)
    assert (record["status"], record["exit_code"]) == ("interrupted", 130)
    assert not (folder / "model").exists()


# -- a folder that holds a run already ------------------------------------------------------------


@pytest.mark.usefixtures("done")
def test_a_second_run_into_the_same_folder_is_refused(make_trainer: MakeTrainer) -> None:
    with pytest.raises(UsageError, match=r"holds a run already \(status: done"):
        make_trainer().train()


def test_a_refused_run_leaves_the_first_as_it_is(
    make_trainer: MakeTrainer, done: TGDPOTrainer
) -> None:
    folder = Path(done.args.output_dir)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UsageError):
        make_trainer(learning_rate=1e-2).train()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("done")
def test_a_second_run_with_overwrite_replaces_the_first(
    make_trainer: MakeTrainer,
    log_rows: Callable[..., Rows],
    run_record: Callable[..., dict[str, Any]],
) -> None:
    trainer = make_trainer(overwrite=True, max_steps=2)
    folder = Path(trainer.args.output_dir)
    (folder / "notes.txt").write_text("mine")
    trainer.train()
    assert run_record(folder)["global_step"] == 2
    assert [row["step"] for row in log_rows(folder)] == [1, 2, 2]
    assert not list(folder.rglob("checkpoint-*")), "those of the first run are gone"
    assert (folder / "notes.txt").read_text() == "mine"


# -- a loss that is not finite --------------------------------------------------------------------


ROW = 7


@pytest.fixture
def broken(make_trainer: MakeTrainer, small_rows: Rows) -> TGDPOTrainer:
    """A trainer whose policy gives NaN for one row: the only one with a certain token."""
    rows = [*small_rows]
    rows[ROW] = {**rows[ROW], "prompt": f"ÿ {rows[ROW]['prompt']}"}
    trainer = make_trainer(train_dataset=rows, per_device_train_batch_size=12)
    ids = [
        {*pair.prompt_ids.tolist(), *pair.chosen.ids.tolist(), *pair.rejected.ids.tolist()}
        for pair in trainer.train_dataset.tokens
    ]
    only = ids[ROW].difference(*(each for i, each in enumerate(ids) if i != ROW))
    with torch.no_grad():
        trainer.model.get_input_embeddings().weight[only.pop()] = torch.nan
    return trainer


def test_a_loss_that_is_not_finite_names_its_row(broken: TGDPOTrainer) -> None:
    with pytest.raises(NumericError, match=rf"train_dataset\[{ROW}\] is nan at step 0"):
        broken.train()


def test_a_loss_that_is_not_finite_leaves_a_failed_run(
    broken: TGDPOTrainer, run_record: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(NumericError):
        broken.train()
    record = run_record(broken.args.output_dir)
    assert (record["status"], record["exit_code"]) == ("failed", 6)
    assert f"train_dataset[{ROW}]" in record["error"]
    assert not (Path(broken.args.output_dir) / "model").exists()


def test_the_weights_stay_finite_when_a_later_loss_is_not(
    make_trainer: MakeTrainer,
) -> None:
    class Break(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, *others: Any, **kwargs: Any) -> None:
            if state.global_step == 2:
                embeddings = trainer.model.get_input_embeddings()
                embeddings.register_forward_hook(lambda module, ids, out: out * torch.nan)

    trainer = make_trainer(callbacks=[Break()], num_train_epochs=4)
    with pytest.raises(NumericError, match="at step"):
        trainer.train()
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


# -- the store ------------------------------------------------------------------------------------


@pytest.fixture
def induced(make_trainer: MakeTrainer, reward_folder: Path) -> MakeTrainer:
    """A function: like ``make_trainer``, with the induced reward of a beta of its own."""

    def make(run: str, *, model: Path = reward_folder, alpha: float = 0.5, **kwargs: Any) -> Any:
        entry = {"plugin": "induced", "args": {"model": str(model), "beta": 0.3}}
        if "policy" in kwargs:
            kwargs["model"] = kwargs.pop("policy")
        return make_trainer(run, token_reward=entry, shaping=Linear(alpha=alpha), **kwargs)

    return make


def stored(trainer: TGDPOTrainer) -> dict[str, Any]:
    """Return what run.json of a short run says about the store."""
    trainer.train()
    record = json.loads((Path(trainer.args.output_dir) / "run.json").read_text())
    return record["store"]


def test_the_first_run_computes_reference_and_rewards_once(induced: MakeTrainer) -> None:
    store = stored(induced("first", max_steps=1))
    assert (store["computed"], store["reused"]) == (24, 0)


@pytest.mark.parametrize(
    "change",
    [{"learning_rate": 1e-4}, {"alpha": 2.0}, {"beta": 0.5}, {"seed": 9}, {"loss_type": "ipo"}],
    ids=str,
)
def test_a_run_that_changes_no_scored_value_computes_nothing_again(
    induced: MakeTrainer, change: dict[str, Any]
) -> None:
    induced("first", max_steps=1)
    store = stored(induced("second", max_steps=1, **change))
    assert (store["computed"], store["reused"]) == (0, 24)


def test_another_reward_model_computes_only_the_rewards_again(
    induced: MakeTrainer, perturb: Callable[..., Any], tmp_path: Path, small_tokenizer: Any
) -> None:
    induced("first", max_steps=1)
    perturb(3).save_pretrained(tmp_path / "other")
    small_tokenizer.save_pretrained(tmp_path / "other")
    store = stored(induced("second", max_steps=1, model=tmp_path / "other"))
    assert (store["computed"], store["reused"]) == (12, 12)


def test_another_policy_computes_everything_again(
    induced: MakeTrainer, perturb: Callable[..., Any]
) -> None:
    induced("first", max_steps=1)
    store = stored(induced("second", max_steps=1, policy=perturb(3)))
    assert (store["computed"], store["reused"]) == (24, 0)
