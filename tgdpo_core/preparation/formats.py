"""Device and number formats of a plan, as training will have them."""

import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
from accelerate import PartialState

from tgdpo_core.errors import UsageError
from tgdpo_core.models.loading import Policy, Trust, load_policy
from tgdpo_core.models.paths import ModelSource, locate
from tgdpo_core.models.precision import Precision, frozen_dtype, mixed_precision
from tgdpo_core.preparation.plan import Plan
from tgdpo_core.recipe.schema import Recipe


def device_of(plan: Plan) -> torch.device:
    """Return this process's device; several processes meet here if they have not yet."""
    _require_whole_models()
    training = plan.recipe.training
    options: dict[str, Any] = {"cpu": bool(training.get("use_cpu"))}
    if backend := training.get("ddp_backend"):
        options["backend"] = backend
    if seconds := training.get("ddp_timeout"):
        options["timeout"] = timedelta(seconds=seconds)
    device: torch.device = PartialState(**options).device
    return device


def _require_whole_models() -> None:
    """Refuse a launcher's setting with which only its first process would load weights.

    Raises:
        UsageError: it is on; frozen models are asked in every process.
    """
    names = ("ACCELERATE_USE_FSDP", "FSDP_CPU_RAM_EFFICIENT_LOADING")
    if all(os.environ.get(name, "").lower() in ("1", "true") for name in names):
        raise UsageError(
            "fsdp_cpu_ram_efficient_loading leaves the weights out of all processes but the first, "
            "and all of them score: set it to false in the accelerate config."
        )


def precision_of(plan: Plan) -> Precision:
    """Return the number formats of frozen models.

    Raises:
        UsageError: fp16 where it would have no effect.
    """
    own = own_precision_of(plan)
    if plan.recipe.model.dtype != "auto":
        return own
    dtype = frozen_dtype(
        own.dtype,
        autocast=own.autocast,
        device=device_of(plan),
        has_reference=bool(plan.recipe.reference.name_or_path),
    )
    return replace(own, dtype=dtype)


def own_precision_of(plan: Plan) -> Precision:
    """Return the number formats of the policy in training, which its own reference has, too.

    Raises:
        UsageError: fp16 where it would have no effect.
    """
    training = plan.recipe.training
    autocast = mixed_precision(
        bf16=training.get("bf16"), fp16=bool(training.get("fp16")), device=device_of(plan)
    )
    recipe = plan.recipe
    spread = recipe.engine.device_map
    return Precision(weights_dtype(recipe), autocast, attention_of(recipe), spread)


def weights_dtype(recipe: Recipe) -> torch.dtype:
    """Return the dtype of the trained weights."""
    name = recipe.model.dtype
    return torch.float32 if name == "auto" else getattr(torch, name)


def attention_of(recipe: Recipe) -> str | None:
    """Return the attention that was asked for by name, or None."""
    named = recipe.model.attn_implementation
    return None if named == "auto" else named


def trust_of(recipe: Recipe) -> Trust:
    """Return what files of models may do."""
    return Trust(recipe.model.trust_remote_code, recipe.model.allow_pickle)


def policy_source(plan: Plan) -> ModelSource:
    """Return where the policy is."""
    return locate(plan.model, plan.recipe.model.revision)


def fresh_adapter(recipe: Recipe) -> dict[str, Any] | None:
    """Return the settings of the adapter that a recipe puts on its model, or None."""
    return recipe.model.lora.model_dump() if recipe.model.lora else None


def load_plan_policy(plan: Plan) -> Policy:
    """Return the model to train."""
    from transformers import set_seed

    recipe = plan.recipe
    set_seed(int(recipe.training.get("seed", 42)))  # a LoRA adapter is drawn at random
    return load_policy(
        policy_source(plan),
        precision=Precision(weights_dtype(recipe), None, attention_of(recipe)),
        trust=trust_of(recipe),
        lora=fresh_adapter(recipe),
        four_bits=_products(plan) if recipe.model.load_in_4bit else None,
    )


def _products(plan: Plan) -> torch.dtype:
    """Return the dtype of products of weights of 4 bits: autocast does not reach them."""
    own = own_precision_of(plan)
    return own.autocast or own.dtype
