"""Runs from a plan: train, fill the store, or only say what would happen."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tgdpo_core.data.pairs import TokenizedPair
from tgdpo_core.data.tokenization import LengthLimits, layout, tokenize_pairs
from tgdpo_core.errors import RecipeError
from tgdpo_core.evaluation.generation import Sampling
from tgdpo_core.recipe.loading import to_yaml
from tgdpo_core.recipe.schema import Recipe
from tgdpo_core.scoring.context import Precision
from tgdpo_core.training.config import TGDPOConfig
from tgdpo_core.training.durability.signals import stop_signals, stopping_is
from tgdpo_core.training.inputs import (
    load_policy,
    load_tokenizer,
    with_lora,
)
from tgdpo_core.training.judging import Judging
from tgdpo_core.training.limits import packing_summary
from tgdpo_core.training.plan import ParsedData, Plan
from tgdpo_core.training.rehearsal import rehearse
from tgdpo_core.training.run_folder import RunFolder
from tgdpo_core.training.trainer import TGDPOTrainer


@dataclass(frozen=True)
class TokenizedData:
    """Training and evaluation pairs with token ids, and the tokenizer that gave them."""

    tokenizer: Any
    train: Sequence[TokenizedPair]
    evaluation: Sequence[TokenizedPair] | None
    layout: str


def train(
    plan: Plan,
    *,
    resume: bool = False,
    overwrite: bool = False,
    allow_changed: Collection[str] = (),
) -> RunFolder:
    """Train by a plan and return the finished run folder.

    Args:
        plan: see ``make_plan``.
        resume: continue from the newest checkpoint, if there is one.
        overwrite: replace a run that the folder holds.
        allow_changed: what may differ from the run that is resumed.

    Raises:
        Preempted: a stop signal came; what was done is kept.
    """
    with stop_signals():
        with stopping_is("Nothing was trained yet; what was scored is kept. Start it again."):
            trainer = _trainer(plan, overwrite=overwrite, resume=resume, allowed=allow_changed)
        trainer.train(resume_from_checkpoint=resume or None)
    return RunFolder(plan.recipe.output_dir)


def _trainer(
    plan: Plan, *, overwrite: bool, resume: bool, allowed: Collection[str]
) -> TGDPOTrainer:
    """Return the trainer of a plan, its pairs scored."""
    recipe = plan.recipe
    folder = RunFolder(recipe.output_dir)
    args = training_config(recipe, overwrite=overwrite)
    if args.process_index == 0:
        folder.require_free(resume=resume, overwrite=overwrite)
    data = tokenize(plan)
    return TGDPOTrainer(
        policy(plan),
        ref_model=recipe.reference.name_or_path,
        args=args,
        train_dataset=data.train,
        eval_dataset=data.evaluation,
        processing_class=data.tokenizer,
        token_reward=list(plan.sources),
        shaping=plan.shaping,
        plugins=plan.plugins,
        policy_name=plan.model,
        precision=precision(recipe, args),
        judging=judging(plan),
        facts=facts(plan, data),
        config_yaml=to_yaml(recipe),
        allow_changed=allowed,
    )


def dry_run(plan: Plan) -> dict[str, Any]:
    """Return what a run would do, as JSON: pairs, tokens, steps, and the longest row run once."""
    args = training_config(plan.recipe)
    data = tokenize(plan)
    pairs_per_step = (
        args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    )
    steps_per_epoch = math.ceil(len(data.train) / pairs_per_step)
    steps = args.max_steps if args.max_steps > 0 else steps_per_epoch * args.num_train_epochs
    lengths = sorted(
        len(p.prompt_ids) + max(len(p.chosen.ids), len(p.rejected.ids)) for p in data.train
    )
    model = policy(plan).to(args.device)
    return {
        "model": plan.model,
        "device": str(args.device),
        "layout": data.layout,
        "data": plan.train.report.as_dict(),
        "evaluation": plan.evaluation.report.as_dict() if plan.evaluation else None,
        "longest_sequence": lengths[-1],
        "median_sequence": lengths[len(lengths) // 2],
        "pairs_per_step": pairs_per_step,
        "steps": math.ceil(steps),
        "packing": packing_summary(data.train, args.per_device_train_batch_size),
        "rehearsal": rehearse(
            model, data.train, args, steps=math.ceil(steps), pairs_per_step=pairs_per_step
        ),
        "reward_sources": [source.describe() for source in plan.sources],
        "shaping": {"name": plan.shaping[0], "options": plan.shaping[1].options()},
        "store_bytes": 4 * (1 + len(plan.sources)) * sum(p.num_response_tokens for p in data.train),
    }


def training_config(recipe: Recipe, *, overwrite: bool = False) -> TGDPOConfig:
    """Return the trainer's settings of a recipe.

    Raises:
        RecipeError: a combination that transformers refuses.
    """
    values: dict[str, Any] = {
        "output_dir": recipe.output_dir,
        "beta": recipe.loss.beta,
        "loss_type": recipe.loss.name,
        "label_smoothing": recipe.loss.label_smoothing,
        "sft_weight": recipe.loss.sft_weight,
        "simpo_gamma": recipe.loss.simpo_gamma,
        "max_length": recipe.data.max_length,
        "max_prompt_length": recipe.data.max_prompt_length,
        "on_bad_row": recipe.data.on_bad_row,
        "layout": recipe.engine.layout,
        "tokens_per_row": recipe.engine.tokens_per_row,
        "logits_chunk_size": recipe.engine.logits_chunk_size,
        "overwrite": overwrite,
        **recipe.training,
    }
    if recipe.data.eval_path:
        values.setdefault("eval_strategy", "epoch")
    try:
        return TGDPOConfig(**values)
    except (ValueError, TypeError) as error:
        raise RecipeError(f"training: {error}") from error


def tokenize(plan: Plan) -> TokenizedData:
    """Return the plan's pairs with token ids."""
    tokenizer = load_tokenizer(plan.model, revision=plan.recipe.model.revision)
    evaluation = _tokenize(plan.evaluation, tokenizer, plan.recipe) if plan.evaluation else None
    return TokenizedData(
        tokenizer,
        _tokenize(plan.train, tokenizer, plan.recipe),
        evaluation,
        layout(tokenizer, plan.train.pairs),
    )


def _tokenize(data: ParsedData, tokenizer: Any, recipe: Recipe) -> list[TokenizedPair]:
    limits = LengthLimits(recipe.data.max_length, recipe.data.max_prompt_length)
    pairs = tokenize_pairs(data.pairs, tokenizer, limits, data.report)
    data.report.raise_if_unusable(recipe.data.on_bad_row)
    return pairs


def policy(plan: Plan) -> Any:
    """Return the model to train."""
    from transformers import set_seed

    section = plan.recipe.model
    set_seed(int(plan.recipe.training.get("seed", 42)))  # a LoRA adapter is drawn at random
    model = load_policy(
        plan.model,
        dtype=torch.float32 if section.dtype == "auto" else getattr(torch, section.dtype),
        revision=section.revision,
        attn_implementation=_attention(plan.recipe),
        trust_remote_code=section.trust_remote_code,
    )
    return with_lora(model, section.lora.model_dump()) if section.lora else model


def precision(recipe: Recipe, args: TGDPOConfig) -> Precision:
    """Return the number formats of frozen models: those of the policy."""
    name = recipe.model.dtype
    return Precision(
        dtype=torch.float32 if name == "auto" else getattr(torch, name),
        autocast=torch.bfloat16 if args.bf16 else None,
        attn_implementation=_attention(recipe),
    )


def judging(plan: Plan) -> Judging | None:
    """Return what is asked and judged during training, or None."""
    section = plan.recipe.judging
    if not section or not plan.judge or not plan.evaluation:
        return None
    return Judging(
        name=section.judge,
        judge=plan.judge,
        pairs=plan.evaluation.pairs[: section.num_prompts],
        sampling=Sampling(
            max_new_tokens=section.max_new_tokens,
            samples=section.samples,
            temperature=section.temperature,
            batch_size=section.batch_size,
        ),
        every_epochs=section.every_epochs,
        kl=section.kl,
    )


def facts(plan: Plan, data: TokenizedData) -> Mapping[str, Any]:
    """Return what run.json says about the plan."""
    return {
        "model": plan.model,
        "dataset": plan.recipe.data.path,
        "data": plan.train.report.as_dict(),
        "evaluation_data": plan.evaluation.report.as_dict() if plan.evaluation else None,
        "layout": data.layout,
        "plugins": [
            {
                "kind": item.kind,
                "name": item.name,
                "origin": item.origin,
                "source": item.source_hash,
            }
            for item in plan.plugins
        ],
        "broken_plugins": [str(broken) for broken in plan.plugins.broken],
    }


def _attention(recipe: Recipe) -> str | None:
    named = recipe.model.attn_implementation
    return None if named == "auto" else named
