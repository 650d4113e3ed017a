"""Arguments of transformers' and TRL's trainers that cannot work here, each with what to write."""

import dataclasses
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

from tgdpo_core.errors import UsageError, did_you_mean
from tgdpo_core.models.loading import Policy
from tgdpo_core.training.config import TGDPOConfig
from tgdpo_core.training.hub import require_hub

PASSED_ON = ("callbacks", "optimizers", "optimizer_cls_and_kwargs")
"""What goes to ``transformers.Trainer`` as it is."""

_INSTEAD = {
    "tokenizer": "it is called processing_class",
    "data_collator": "pairs are packed into rows by the trainer itself (layout, tokens_per_row)",
    "peft_config": "wrap the model first, peft.get_peft_model(model, peft_config), or use a recipe "
    "with model.lora",
    "compute_metrics": "evaluation has the metrics of pairs; a Judge scores answers "
    "(tgdpo evaluate, judging)",
    "preprocess_logits_for_metrics": "evaluation keeps no logits",
    "compute_loss_func": "the loss is set by loss_type, its weights by token_reward and shaping",
    "model_init": "give the model; a search over settings is tgdpo ablate",
    "formatting_func": "map the data set to the columns prompt, chosen, rejected first",
    "processing_func": "map the data set to the columns prompt, chosen, rejected first",
    "reward_funcs": "give a TokenReward as token_reward",
    "reward_model": "give a TokenReward as token_reward",
    "reward_processing_classes": "give a TokenReward as token_reward",
    "model_init_kwargs": "load the model with them, and give it",
    "ref_model_init_kwargs": "load ref_model with them, and give it",
    "model_adapter_name": "activate the adapter, and give the model",
    "ref_adapter_name": "load the reference with its adapter, and give it as ref_model",
    "precompute_ref_log_probs": "reference log-probs are always computed once and stored",
    "quantization_config": "load the model with it, and give it",
    "dataset_text_field": "rows have the columns prompt, chosen, rejected",
    "packing": "rows are always packed (layout, tokens_per_row)",
    "eval_packing": "rows are always packed (layout, tokens_per_row)",
}


def check_trainer_arguments(
    trainer: Callable[..., Any],
    args: Any,
    given: Mapping[str, Any],
    others: Mapping[str, Any],
) -> None:
    """Raise ``UsageError``, in one line, for what a trainer cannot take.

    Args:
        trainer: the constructor, for the names that it has.
        args: the settings.
        given: ``model``, ``ref_model``, ``train_dataset`` and ``eval_dataset``.
        others: keyword arguments that the trainer has no parameter for.
    """
    for name in others:
        if name not in PASSED_ON:
            raise UsageError(_refusal(name, trainer))
    if not isinstance(args, TGDPOConfig):
        raise UsageError(
            f"args must be a TGDPOConfig, got {type(args).__name__}: TGDPOConfig takes the "
            "settings of transformers.TrainingArguments, and beta, loss_type, max_length, .."
        )
    _check_models(given["model"], given["ref_model"])
    _check_run(args)
    if given["train_dataset"] is None:
        raise UsageError("TGDPOTrainer needs a train_dataset.")
    strategy = getattr(args.eval_strategy, "value", args.eval_strategy)
    if given["eval_dataset"] is None and strategy != "no":
        raise UsageError(
            f"eval_strategy={strategy} needs an eval_dataset (recipe: data.eval_path), or set it "
            "to no."
        )


def _check_models(model: Any, ref_model: Any) -> None:
    for name, value in (("model", model), ("ref_model", ref_model)):
        is_absent = name == "ref_model" and value is None
        is_model = isinstance(value, str | Policy) or hasattr(value, "forward")
        if not (is_absent or is_model):
            raise UsageError(
                f"{name} must be a causal language model, or the name or folder of one; got "
                f"{type(value).__name__}."
            )
    if ref_model is not None and ref_model is model and not isinstance(ref_model, str):
        raise UsageError("ref_model is the policy itself; leave it out to mean that.")


def _check_run(args: TGDPOConfig) -> None:
    accelerator = args.accelerator_config
    for name in ("split_batches", "dispatch_batches"):
        if args.world_size > 1 and getattr(accelerator, name, None):
            raise UsageError(
                f"accelerator_config.{name} is not supported with several processes: which pairs "
                "fill the last batch could not be told. Leave it out."
            )
    if args.n_gpu > 1:
        raise UsageError(
            f"One process sees {args.n_gpu} GPUs, and torch's DataParallel is not used. Start one "
            f"process a GPU: tgdpo train --num-processes {args.n_gpu} ... (a script: accelerate "
            f"launch --num_processes {args.n_gpu} SCRIPT). For one GPU: CUDA_VISIBLE_DEVICES=0."
        )
    if args.push_to_hub:
        require_hub()


def text_of_path(value: Any) -> Any:
    """Return a path as text, anything else as it is."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _refusal(name: str, trainer: Callable[..., Any]) -> str:
    if name in _INSTEAD:
        return f"TGDPOTrainer takes no {name}: {_INSTEAD[name]}."
    if name in {field.name for field in dataclasses.fields(TGDPOConfig)}:
        return f"TGDPOTrainer takes no {name}: it is a setting, args=TGDPOConfig({name}=...)."
    known = [p for p in inspect.signature(trainer).parameters if p not in ("self", "kwargs")]
    return f"TGDPOTrainer takes no {name}. {did_you_mean(name, [*known, *PASSED_ON])}"
