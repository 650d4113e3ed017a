"""Where a key belongs that a recipe has in the wrong place, or by another program's name."""

import difflib
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from tgdpo_core.recipe.argument_table import SET_ELSEWHERE
from tgdpo_core.recipe.schema import Recipe
from tgdpo_core.recipe.training_arguments import training_argument_types

_OTHER_NAMES = {
    "training.learning_rate": "lr learn_rate peak_lr",
    "training.num_train_epochs": "epochs num_epochs n_epochs",
    "training.per_device_train_batch_size": "batch_size train_batch_size micro_batch_size "
    "per_device_batch_size",
    "training.per_device_eval_batch_size": "eval_batch_size",
    "training.gradient_accumulation_steps": "grad_accum accumulation_steps gradient_accumulation",
    "training.lr_scheduler_type": "scheduler lr_scheduler",
    "training.warmup_steps (below 1: a share of all steps)": "warmup warmup_ratio",
    "training.optim": "optimizer",
    "training.max_grad_norm": "grad_clip clip_grad_norm gradient_clipping",
    "training.eval_strategy": "evaluation_strategy",
    "model.dtype": "torch_dtype",
    "model.name_or_path": "model_name_or_path model_name model_path base_model policy",
    "model.revision": "model_revision",
    "model.attn_implementation": "flash_attn attention",
    "model.lora": "use_peft peft_config peft lora",
    "model.lora.r": "lora_r lora_rank",
    "model.lora.alpha": "lora_alpha",
    "model.lora.target_modules": "lora_target_modules lora_target",
    "reference.name_or_path": "ref_model reference_model ref",
    "data.path": "dataset dataset_name datasets train_file train_dataset dataset_path",
    "data.eval_path": "eval_dataset eval_file validation_file",
    "data.split": "dataset_train_split",
    "data.split (train[:N]: the first N rows)": "limit max_samples max_train_samples num_samples",
    "data.eval_split": "dataset_test_split",
    "data.name": "dataset_config",
    "data.max_length": "cutoff_len max_seq_length max_seq_len seq_len sequence_len max_tokens",
    "loss.beta": "pref_beta dpo_beta",
    "loss.name": "loss_type pref_loss",
    "loss.label_smoothing": "dpo_label_smoothing",
    "loss.sft_weight": "pref_ftx rpo_alpha nll_loss_coef",
    "loss.simpo_gamma": "gamma",
    "shaping.args.alpha": "alpha tgdpo_alpha",
    "shaping.args": "shift normalize",
    "reward: [{plugin: NAME, args: {model: ..}}]": "reward_model tgdpo_reward_model prm",
    "reward: [{plugin: NAME}]": "rewards reward_plugin token_reward",
    "reward.0.transforms": "transforms reward_transform",
    "judging.judge": "judge",
    "output_dir": "out_dir save_dir output output_path",
}
ALIASES = {name: place for place, names in _OTHER_NAMES.items() for name in names.split()}
"""Another name of a key -> where a recipe has it."""


def known_keys() -> list[str]:
    """Return the dotted keys of a recipe, names of training arguments included."""
    keys = [key for key in _keys(Recipe) if key not in ("training", "reward")]
    return [*keys, *(f"training.{name}" for name in training_argument_types())]


def place_of(name: str, *, inside: str = "") -> str | None:
    """Return where a recipe has a key of this name, as dotted keys; None: no such key is known.

    Args:
        name: the key, without what it stands in.
        inside: the section that it was found in, which is not the answer.
    """
    plain = name.replace("-", "_")
    if plain in training_argument_types() and inside != "training" and plain not in SET_ELSEWHERE:
        return f"training.{plain}"
    if plain in ALIASES and _section(ALIASES[plain]) != inside:
        return ALIASES[plain]
    keys = list(_keys(Recipe))
    exact = [key for key in keys if key.rpartition(".")[2] == plain and _section(key) != inside]
    if len(exact) == 1:
        return exact[0]
    leaves = {key.rpartition(".")[2]: key for key in keys if "." in key}
    leaves |= {key: f"training.{key}" for key in training_argument_types()}
    near = difflib.get_close_matches(plain, leaves, n=1, cutoff=0.85)
    return leaves[near[0]] if near and _section(leaves[near[0]]) != inside else None


def _section(dotted: str) -> str:
    return dotted.partition(".")[0] if "." in dotted else ""


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of a schema."""
    for name, field in model.model_fields.items():
        inner = _section_of(field.annotation)
        if inner is not None:
            yield from _keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _section_of(annotation: Any) -> type[BaseModel] | None:
    for part in (annotation, *get_args(annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None
