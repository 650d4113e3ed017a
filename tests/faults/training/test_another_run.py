"""K5: a checkpoint goes on as the run that it belongs to, or says what would be another."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core import TGDPOTrainer
from tgdpo_core.errors import UsageError
from tgdpo_core.training.durability.resume_guard import require_same
from tgdpo_plugins.shapings.linear import Linear

Build = Callable[..., TGDPOTrainer]

CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "learning rate": ({"learning_rate": 1e-4}, "learning_rate"),
    "weight decay": ({"weight_decay": 0.5}, "weight_decay"),
    "beta": ({"beta": 5.0}, "beta"),
    "alpha": ({"shaping": ("linear", Linear(alpha=5.0))}, "shaping"),
    "loss": ({"loss_type": "ipo"}, "loss_type"),
    "seed": ({"seed": 6}, "seed"),
    "reward seed": ({"token_reward": {"plugin": "random", "args": {"seed": 9}}}, "reward"),
    "reward": ({"token_reward": None}, "reward"),
    "batch": ({"per_device_train_batch_size": 2}, "per_device_train_batch_size"),
    "accumulation": ({"gradient_accumulation_steps": 2}, "gradient_accumulation_steps"),
    "schedule": ({"lr_scheduler_type": "linear"}, "lr_scheduler_type"),
    "steps": ({"max_steps": 20}, "max_steps"),
    "maximum length": ({"max_length": 1024}, "max_length"),
    "rows per forward": ({"tokens_per_row": 64}, "tokens_per_row"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_K5_another_setting_is_refused_with_its_name(
    change: str, killed: Path, build: Build
) -> None:
    settings, key = CHANGES[change]
    with pytest.raises(UsageError, match=rf"(?s)saved by another run.*--allow-changed {key}"):
        build(killed, **settings).train(resume_from_checkpoint=True)


def test_K5_a_refused_resume_leaves_the_run_as_it_is(killed: Path, build: Build) -> None:
    before = {p: p.read_bytes() for p in killed.rglob("*") if p.is_file() and p.name[0] != "."}
    with pytest.raises(UsageError):
        build(killed, beta=5.0).train(resume_from_checkpoint=True)
    after = {p: p.read_bytes() for p in killed.rglob("*") if p.is_file() and p.name[0] != "."}
    assert after == before


def test_K5_other_rows_and_another_order_are_told_apart(
    killed: Path, build: Build, small_rows: list[dict[str, Any]]
) -> None:
    with pytest.raises(UsageError, match="the same pairs in another order"):
        build(killed, train_dataset=small_rows[::-1]).train(resume_from_checkpoint=True)
    with pytest.raises(UsageError, match=r"data\.num_pairs\s+12\s+11"):
        build(killed, train_dataset=small_rows[:-1]).train(resume_from_checkpoint=True)


def test_K5_another_model_reference_or_template_is_refused(
    killed: Path, build: Build, model_folder: Path, small_tokenizer: Any, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    other = AutoModelForCausalLM.from_pretrained(model_folder)
    other.lm_head.weight.data += 0.01
    other.save_pretrained(tmp_path / "other")
    small_tokenizer.save_pretrained(tmp_path / "other")
    folder = str(tmp_path / "other")
    with pytest.raises(UsageError, match=r"(?s)model\.files.*reference\.files"):
        build(killed, model=folder).train(resume_from_checkpoint=True)
    with pytest.raises(UsageError, match=r"reference\.files"):
        build(killed, ref_model=folder).train(resume_from_checkpoint=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{{ messages }}"
    with pytest.raises(UsageError, match="chat_template"):
        build(killed, processing_class=tokenizer).train(resume_from_checkpoint=True)


SAVED = {"optim": "adamw", "lora": None, "versions.torch": "2.11", "world_size": 2, "a": 1}


@pytest.mark.parametrize("key", ["versions.torch", "versions", "world_size", "a"])
def test_K5_what_may_change_is_named_in_full_or_by_its_first_word(key: str, tmp_path: Path) -> None:
    (tmp_path / "identity.json").write_text(json.dumps(SAVED))
    changed = next(name for name in SAVED if name.startswith(key))
    now = {**SAVED, changed: "another"}
    with pytest.raises(UsageError):
        require_same(tmp_path, now, ())
    assert [d.key for d in require_same(tmp_path, now, (key,))] == [changed]


@pytest.mark.parametrize("key", ["optim", "lora"])
def test_K5_what_the_tensors_would_not_fit_can_never_change(key: str, tmp_path: Path) -> None:
    (tmp_path / "identity.json").write_text(json.dumps(SAVED))
    with pytest.raises(UsageError, match=rf"{key} cannot change: .*\n.*--model"):
        require_same(tmp_path, {**SAVED, key: "another"}, (key,))


def test_K5_a_key_that_is_none_is_refused_with_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "identity.json").write_text(json.dumps(SAVED))
    with pytest.raises(UsageError, match="Did you mean 'optim'"):
        require_same(tmp_path, SAVED, ("optimm",))


def test_K5_an_allowed_learning_rate_is_the_one_that_is_used(
    killed: Path,
    build: Build,
    record: Callable[[Path], dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    trainer = build(
        killed,
        learning_rate=1e-4,
        weight_decay=0.5,
        allow_changed=["learning_rate", "weight_decay"],
    )
    trainer.train(resume_from_checkpoint=True)
    rates = [row["learning_rate"] for row in trainer.state.log_history if "learning_rate" in row]
    # Cosine over six steps: the schedule's position is kept, its height is new.
    assert rates[4] == pytest.approx(1e-4 * 0.25, rel=1e-6)
    assert rates[5] == pytest.approx(1e-4 * 0.0669873, rel=1e-5)
    assert {group["weight_decay"] for group in trainer.optimizer.param_groups} == {0.5, 0.0}
    assert "the new value is used from the next step on" in caplog.text
    (resume,) = record(killed)["resumes"]
    assert resume["changed"]["learning_rate"] == {"old": 1e-3, "new": 1e-4}
    kept = (killed / "settings.before-resume-1.yaml").read_text()
    assert "learning_rate: 0.001" in kept
    assert "learning_rate: 0.0001" in (killed / "settings.yaml").read_text()


def test_K5_a_setting_that_changes_no_number_needs_no_word(
    killed: Path, whole: Path, build: Build, require_equal: Callable[..., None]
) -> None:
    build(killed, save_steps=1, save_total_limit=1).train(resume_from_checkpoint=True)
    require_equal(killed, whole)


def test_K5_a_checkpoint_of_the_model_alone_is_not_gone_on_from(
    tmp_path: Path, build: Build
) -> None:
    from tgdpo_core.errors import CheckpointError

    build(tmp_path / "run", save_only_model=True, max_steps=2).train()
    with pytest.raises(CheckpointError, match=r"saved with training\.save_only_model"):
        build(tmp_path / "run", save_only_model=True, max_steps=2).train(
            resume_from_checkpoint=True
        )


def test_every_setting_counts_unless_it_is_known_to_change_no_number() -> None:
    from tgdpo_core import TGDPOConfig
    from tgdpo_core.training.durability.identity import _FREE

    fields = {field.name for field in dataclasses.fields(TGDPOConfig)}
    counted = {"learning_rate", "beta", "seed", "optim", "max_grad_norm", "bf16", "layout"}
    assert counted <= fields - _FREE
