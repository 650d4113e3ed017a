"""Every field of transformers' settings is decided: used, or refused with a reason."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments
from transformers.trainer_utils import SchedulerType
from transformers.training_args import OptimizerNames

from tgdpo_core import TGDPOConfig
from tgdpo_core.errors import RecipeError, UsageError
from tgdpo_core.recipe import resolve_recipe
from tgdpo_core.recipe.argument_table import BOUNDS, REFUSED, SECRET, SET_ELSEWHERE, USED
from tgdpo_core.recipe.optional_packages import TRACKERS, require_packages
from tgdpo_core.recipe.training_arguments import (
    check_training_arguments,
    enum_values,
    training_argument_types,
)


def recipe(**training: Any) -> Any:
    return resolve_recipe({"data": {"path": "x"}, "output_dir": "y", "training": training})


def config(tmp_path: Path, **settings: Any) -> TGDPOConfig:
    return TGDPOConfig(output_dir=str(tmp_path), use_cpu=True, **settings)


def test_every_field_of_the_installed_transformers_is_in_the_table() -> None:
    decided = {*USED, *REFUSED, *SET_ELSEWHERE, *SECRET}
    new = set(training_argument_types()) - decided
    assert not new, f"decide what becomes of {sorted(new)} in argument_table.py"


def test_no_field_is_both_used_and_refused() -> None:
    assert not USED & set(REFUSED)
    assert set(BOUNDS) <= USED


def test_the_default_of_every_refused_setting_is_harmless() -> None:
    for field in dataclasses.fields(TrainingArguments):
        if field.name in REFUSED and field.default is not dataclasses.MISSING:
            default = getattr(field.default, "value", field.default)
            assert default in REFUSED[field.name].harmless, field.name


# A value that asks for something, for each refused setting.
ASKED: dict[str, Any] = {
    "average_tokens_across_devices": False,
    "batch_eval_metrics": True,
    "bf16_full_eval": True,
    "do_predict": True,
    "enable_jit_checkpoint": True,
    "eval_accumulation_steps": 2,
    "eval_do_concat_batches": False,
    "eval_use_gather_object": True,
    "fp16_full_eval": True,
    "hub_always_push": True,
    "hub_strategy": "all_checkpoints",
    "include_for_metrics": ["inputs"],
    "include_num_input_tokens_seen": "all",
    "label_names": ["labels"],
    "label_smoothing_factor": 0.3,
    "length_column_name": "size",
    "deepspeed": {"zero_optimization": {"stage": 2}},
    "parallelism_config": {"tp_size": 2},
    "prediction_loss_only": True,
    "resume_from_checkpoint": "checkpoint-3",
    "torch_empty_cache_steps": 5,
    "torch_compile": True,
    "torch_compile_backend": "inductor",
    "torch_compile_mode": "default",
    "train_sampling_strategy": "group_by_length",
    "use_cache": True,
    "trackio_static_space_id": "me/space",
}


def test_there_is_an_example_of_every_refused_setting() -> None:
    assert set(ASKED) == set(REFUSED)


@pytest.mark.parametrize("name", sorted(set(ASKED) - set(SET_ELSEWHERE)))
def test_a_recipe_with_a_setting_that_nothing_reads_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=f"'{name}' has no effect here: "):
        recipe(**{name: ASKED[name]})


@pytest.mark.parametrize("name", sorted(ASKED))
def test_python_settings_that_nothing_reads_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' has no effect here: "):
        config(tmp_path, **{name: ASKED[name]})


MEANINGLESS: dict[str, Any] = {
    "adam_beta1": 1.0,
    "adam_beta2": -0.1,
    "adam_epsilon": -1e-8,
    "data_seed": -1,
    "dataloader_num_workers": -1,
    "dataloader_prefetch_factor": 0,
    "ddp_bucket_cap_mb": 0,
    "ddp_timeout": 0,
    "eval_delay": -1,
    "eval_steps": 0,
    "gradient_accumulation_steps": 0,
    "learning_rate": -1e-6,
    "logging_steps": 0,
    "max_grad_norm": -1.0,
    "neftune_noise_alpha": -5.0,
    "num_train_epochs": -3,
    "per_device_eval_batch_size": 0,
    "per_device_train_batch_size": 0,
    "save_steps": -2,
    "save_total_limit": 0,
    "seed": -1,
    "warmup_steps": -1,
    "weight_decay": -0.1,
}


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_a_number_without_meaning_is_refused_by_recipe_and_python(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(RecipeError, match=f"'{name}' must be .*, got"):
        recipe(**{name: MEANINGLESS[name]})
    with pytest.raises(ValueError, match=f"'{name}' must be .*, got"):
        config(tmp_path, **{name: MEANINGLESS[name]})


@pytest.mark.parametrize("steps", [0, -2])
def test_max_steps_is_a_number_of_steps_or_minus_one(steps: int) -> None:
    assert recipe(max_steps=-1).training == {"max_steps": -1}
    with pytest.raises(RecipeError, match="'max_steps' must be at least 1, or -1"):
        recipe(max_steps=steps)


@pytest.mark.parametrize(
    ("name", "value", "near"),
    [
        ("optim", "adamwx", "adamw_torch"),
        ("lr_scheduler_type", "cosin", "cosine"),
        ("eval_strategy", "epochs", "epoch"),
        ("save_strategy", "bset", "best"),
        ("logging_strategy", "step", "steps"),
        ("hub_strategy", "ends", "end"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest(name: str, value: str, near: str) -> None:
    with pytest.raises(RecipeError, match=rf"{near}"):
        recipe(**{name: value})


def test_the_names_read_from_the_source_are_those_of_transformers() -> None:
    assert set(enum_values("training_args", "OptimizerNames")) == {o.value for o in OptimizerNames}
    assert set(enum_values("trainer_utils", "SchedulerType")) == {s.value for s in SchedulerType}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lr_scheduler_type": "constant", "warmup_steps": 5}, "knows no 'warmup_steps'"),
        ({"optim_target_modules": ["q"]}, "read by the optimizers galore"),
        ({"liger_kernel_config": {"rope": True}}, "without use_liger_kernel"),
        ({"do_eval": True}, "set eval_strategy"),
        ({"fp16": True, "bf16": True}, "exclude each other"),
        ({"optim": "lomo"}, "backward pass of its own"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(RecipeError, match=said):
        recipe(**settings)


def test_all_wrong_settings_are_said_at_once() -> None:
    with pytest.raises(ValueError, match=r"(?s)learning_rate.*per_device_train_batch_size.*optim"):
        check_training_arguments(
            {"learning_rate": -1, "per_device_train_batch_size": 0, "optim": "adamwx"}
        )


@pytest.mark.parametrize("tracker", sorted(TRACKERS))
def test_a_tracker_that_is_not_installed_is_refused_with_the_pip_install(
    tracker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=f"report_to={tracker} needs .* pip install"):
        require_packages({"report_to": tracker})


@pytest.mark.parametrize(
    ("settings", "package"),
    [
        ({"use_liger_kernel": True}, "liger_kernel"),
        ({"optim": "paged_adamw_8bit"}, "bitsandbytes"),
        ({"optim": OptimizerNames.ADAMW_BNB}, "bitsandbytes"),
        ({"optim": "galore_adamw"}, "galore_torch"),
        ({"optim": "schedule_free_adamw"}, "schedulefree"),
        ({"optim": "adamw_torch_8bit"}, "torchao"),
    ],
)
def test_a_package_that_a_setting_needs_is_looked_for(
    settings: dict[str, Any], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=f"needs the package {package}"):
        require_packages(settings)


def test_an_adapter_needs_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'tgdpo\[lora\]'"):
        require_packages({}, lora=True)


@pytest.mark.parametrize("value", ["wand", ["tensorboard", "wandbb"], 3])
def test_an_unknown_tracker_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match=r"report_to"):
        require_packages({"report_to": value})


@pytest.mark.parametrize("value", [None, "none", [], ["none"], "all"])
def test_no_tracker_needs_no_package(value: Any) -> None:
    require_packages({"report_to": value})


PATHS = ["output_dir", "data.path", "data.eval_path", "model.name_or_path"]


@pytest.mark.parametrize("key", PATHS)
@pytest.mark.parametrize(
    ("path", "said"), [("a\0b", "NUL"), ("x" * 300, "too long"), (" ", "is empty")]
)
def test_a_path_that_no_file_can_have_is_refused(key: str, path: str, said: str) -> None:
    content: dict[str, Any] = {"data": {"path": "x"}, "output_dir": "y"}
    with pytest.raises(RecipeError, match=rf"{key} .*{said}|{key} is empty|{key} holds a {said}"):
        resolve_recipe(content, settings={key: path})
