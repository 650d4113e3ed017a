"""Configurations of TRL and LLaMA-Factory as recipes: every key is accounted for."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tgdpo_core.errors import RecipeError
from tgdpo_core.recipe import resolve_recipe
from tgdpo_core.recipe.converting import convert
from tgdpo_core.recipe.converting.account import Conversion
from tgdpo_core.recipe.converting.dataset_info import DataFolder

LF = {"stage": "dpo", "model_name_or_path": "m", "output_dir": "runs/x", "finetuning_type": "full"}
TRL = {"model_name_or_path": "m", "dataset_name": "d", "output_dir": "runs/x"}
# The official code's example, as its repository has it (dd88982).
OFFICIAL = """
model_name_or_path: PATH_TO_MODEL
ref_model: PATH_TO_REF_MODEL
tgdpo_reward_model: PATH_TO_REWARD_MODEL
stage: tgdpo
do_train: true
finetuning_type: full
pref_beta: 0.1
tgdpo_alpha: 0.5
pref_loss: sigmoid
dataset: llama3-8b-instruct-ultrafeedback
eval_dataset: llama3-8b-instruct-ultrafeedback
template: llama3
cutoff_len: 2048
max_prompt_length: 1800
overwrite_cache: true
preprocessing_num_workers: 16
packing: false
output_dir: OUTPUT_DIR
logging_steps: 1
save_steps: 60
plot_loss: true
overwrite_output_dir: true
per_device_train_batch_size: 1
gradient_accumulation_steps: 16
learning_rate: 7.0e-7
num_train_epochs: 1.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
val_size: 0.0
per_device_eval_batch_size: 1
eval_strategy: steps
eval_steps: 50000
"""


def made_of(content: dict[str, Any], **how: Any) -> Conversion:
    """Return the conversion of a content, its pairs given where they are LLaMA-Factory's."""
    given = "pairs.jsonl" if "stage" in content else None
    settings = {"data.path": given} if given else {}
    defaults: dict[str, Any] = {
        "program": None,
        "settings": settings,
        "data": DataFolder(given=given),
    }
    return convert(content, **{**defaults, **how})


def test_the_official_example_becomes_the_paper_recipe() -> None:
    made = made_of(yaml.safe_load(OFFICIAL))
    assert made.refused == []
    recipe = resolve_recipe(made.recipe)
    assert (recipe.model.name_or_path, recipe.model.lora) == ("PATH_TO_MODEL", None)
    assert recipe.reference.name_or_path == "PATH_TO_REF_MODEL"
    (reward,) = recipe.reward
    assert (reward.plugin, reward.args) == ("induced", {"model": "PATH_TO_REWARD_MODEL"})
    assert (recipe.shaping.name, recipe.shaping.args) == ("linear", {"alpha": 0.5})
    assert (recipe.loss.name, recipe.loss.beta) == ("sigmoid", 0.1)
    assert (recipe.data.path, recipe.data.eval_path) == ("pairs.jsonl", "pairs.jsonl")
    assert (recipe.data.max_length, recipe.data.max_prompt_length) == (2048, None)
    expected = {"learning_rate": 7e-7, "warmup_steps": 0.1, "gradient_accumulation_steps": 16}
    expected |= {"bf16": True, "gradient_checkpointing": True, "eval_steps": 50000}
    assert expected.items() <= recipe.training.items()
    assert any("template" in check for check in made.checks)


@pytest.mark.parametrize("content", [yaml.safe_load(OFFICIAL), {**TRL, "use_peft": False}])
def test_every_key_has_an_account_that_says_where_or_why(content: dict[str, Any]) -> None:
    made = made_of(content)
    assert {each.key for each in made.accounts} >= content.keys()
    assert all(each.where or each.note for each in made.accounts)


def test_the_order_of_the_keys_decides_nothing() -> None:
    content = {**yaml.safe_load(OFFICIAL), "finetuning_type": "lora", "lora_rank": 4}
    backwards = dict(reversed(content.items()))
    assert made_of(content).recipe == made_of(backwards).recipe
    assert made_of(content).recipe["model"]["lora"]["r"] == 4


def test_defaults_that_differ_are_written_out() -> None:
    trl = resolve_recipe(made_of(TRL).recipe)
    assert (trl.data.max_length, trl.model.dtype) == (1024, "float32")
    expected = {"bf16": True, "gradient_checkpointing": True, "save_total_limit": None}
    assert expected.items() <= trl.training.items()
    content = {key: value for key, value in LF.items() if key != "finetuning_type"}
    factory = resolve_recipe(made_of({**content, "dataset": "x"}).recipe)
    assert factory.model.lora
    assert (factory.model.lora.r, factory.model.lora.alpha) == (8, 16)
    expected = {"learning_rate": 5e-5, "bf16": False, "gradient_checkpointing": True}
    assert {**expected, "logging_steps": 500}.items() <= factory.training.items()


@pytest.mark.parametrize(
    ("base", "change", "key"),
    [
        (TRL, {"loss_type": "robust"}, "loss_type"),
        (TRL, {"loss_type": ["sigmoid", "sft"]}, "loss_type"),
        (TRL, {"loss_weights": [0.5]}, "loss_weights"),
        (TRL, {"use_weighting": True}, "use_weighting"),
        (TRL, {"sync_ref_model": True}, "sync_ref_model"),
        (TRL, {"ld_alpha": 0.5}, "ld_alpha"),
        (TRL, {"f_divergence_type": "js_divergence"}, "f_divergence_type"),
        (TRL, {"disable_dropout": False}, "disable_dropout"),
        (TRL, {"truncation_mode": "keep_end"}, "truncation_mode"),
        (TRL, {"use_peft": True}, "lora_target_modules"),
        (
            TRL,
            {"use_peft": True, "lora_target_modules": "all-linear", "use_dora": True},
            "use_dora",
        ),
        (TRL, {"load_in_8bit": True}, "load_in_8bit"),
        (TRL, {"datasets": [{"path": "a"}, {"path": "b"}]}, "datasets"),
        (TRL, {"label_smoothing_factor": 0.1}, "label_smoothing_factor"),
        (TRL, {"beta1": 0.9}, "beta1"),
        (LF, {"stage": "sft"}, "stage"),
        (LF, {"stage": "tgdpo"}, "tgdpo_reward_model"),
        (LF, {"pref_loss": "orpo"}, "pref_loss"),
        (LF, {"stage": "tgdpo", "tgdpo_reward_model": "r", "pref_ftx": 0.1}, "pref_ftx"),
        (LF, {"finetuning_type": "freeze"}, "finetuning_type"),
        (LF, {"finetuning_type": "lora", "lora_dropout": 0.1}, "lora_dropout"),
        (LF, {"finetuning_type": "lora", "use_rslora": True}, "use_rslora"),
        (LF, {"finetuning_type": "lora", "quantization_bit": 4}, "double_quantization"),
        (LF, {"val_size": 0.1}, "val_size"),
        (LF, {"train_on_prompt": True}, "train_on_prompt"),
        (LF, {"ref_model_adapters": "a"}, "ref_model_adapters"),
        (LF, {"adapter_name_or_path": "a"}, "adapter_name_or_path"),
        (LF, {"use_galore": True}, "use_galore"),
        (LF, {"rope_scaling": "linear"}, "rope_scaling"),
        (LF, {"cutof_len": 5}, "cutof_len"),
    ],
)
def test_what_would_change_numbers_is_refused(
    base: dict[str, Any], change: dict[str, Any], key: str
) -> None:
    assert [
        each.key for each in made_of({**base, "dataset": "x", **change}).refused if base is LF
    ] + [each.key for each in made_of({**base, **change}).refused if base is TRL] == [key]


def test_a_refused_key_can_be_left_out_knowingly() -> None:
    made = made_of({**TRL, "ld_alpha": 0.5}, without=["ld_alpha"])
    assert made.refused == []
    assert [each.key for each in made.accounts if each.outcome == "left out"] == ["ld_alpha"]
    with pytest.raises(RecipeError, match="no such key"):
        made_of(TRL, without=["beta"])


def test_the_result_is_a_valid_recipe_or_the_reason_is_said() -> None:
    made = made_of({**TRL, "learning_rate": "fast"})
    (refused,) = made.refused
    assert "learning_rate" in refused.note


def test_evaluation_of_trl_is_on_the_test_split_of_the_same_data() -> None:
    made = made_of({**TRL, "eval_strategy": "steps", "eval_steps": 50})
    data = resolve_recipe(made.recipe).data
    assert (data.path, data.eval_path, data.eval_split) == ("d", "d", "test")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"file_name": "p.json"}, {"path": "data/p.json"}),
        ({"hf_hub_url": "a/b", "subset": "en", "split": "x", "ms_hub_url": "c"},
         {"path": "a/b", "name": "en", "split": "x"}),
        ({"hf_hub_url": "a/b", "columns": {"prompt": "question", "chosen": "chosen"}},
         {"path": "a/b", "columns": {"instruction": "question"}}),
        ({"file_name": "p.json", "formatting": "sharegpt",
          "columns": {"messages": "conversations", "chosen": "good"}},
         {"path": "data/p.json", "columns": {"chosen": "good"}}),
        ({"script_url": "s"}, "script_url"),
        ({"file_name": "p.json", "ranking": False}, "no pairs"),
        ({"file_name": "p.json", "num_samples": 5}, "num_samples"),
        ({"file_name": "p.json", "columns": {"images": "images"}}, "images"),
        ({"file_name": "p.json", "tags": {"role_tag": "who"}}, "tags"),
        ({}, "neither"),
    ],
)  # fmt: skip
def test_a_data_set_is_found_by_its_entry(
    entry: dict[str, Any], expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    info = {"pairs": {"ranking": True, **entry}}
    (tmp_path / "data" / "dataset_info.json").write_text(json.dumps(info))
    made = convert({**LF, "dataset": "pairs"}, program=None, data=DataFolder(), settings={})
    if isinstance(expected, str):
        assert expected in made.refused[0].note
        return
    assert made.refused == []
    assert expected.items() <= made.recipe["data"].items()


def test_every_field_of_trl_is_accounted_for() -> None:
    trl = pytest.importorskip("trl")
    fields = [f for c in ("ScriptArguments", "DPOConfig", "ModelConfig") for f in
              dataclasses.fields(getattr(trl, c))]  # fmt: skip
    for each in fields:
        default = each.default
        if default is dataclasses.MISSING:
            default = each.default_factory() if callable(each.default_factory) else None
        made = made_of({**TRL, each.name: default})
        unknown = [a.key for a in made.refused if "no key of" in a.note]
        assert unknown == [], each.name


@pytest.mark.parametrize("content", [{"a": 1}, {"base_model": "x"}, {"model": {}, "stage": "dpo"}])
def test_a_file_of_no_known_program_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="no configuration that is converted"):
        made_of(content)
