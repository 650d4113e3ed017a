"""Runs from a plan: train, fill the store, or only say what would happen."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tgdpo_core.data.pairs import TokenizedPair
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.shares import check_shares
from tgdpo_core.data.tokenization import LengthLimits, layout, tokenize_pairs
from tgdpo_core.errors import RecipeError
from tgdpo_core.evaluation.generation import Sampling
from tgdpo_core.models.loading import Policy, Trust, load_policy, load_tokenizer
from tgdpo_core.models.paths import ModelSource, locate
from tgdpo_core.models.precision import Precision, training_precision
from tgdpo_core.recipe.loading import to_yaml
from tgdpo_core.recipe.schema import Recipe
from tgdpo_core.training.config import TGDPOConfig
from tgdpo_core.training.judging import Judging
from tgdpo_core.training.limits import packing_summary
from tgdpo_core.training.plan import ParsedData, Plan
from tgdpo_core.training.rehearsal import rehearse
from tgdpo_core.training.run_folder import RunFolder, require_free
from tgdpo_core.training.trainer import TGDPOTrainer


@dataclass(frozen=True)
class TokenizedData:
    """Training and evaluation pairs with token ids.

    Attributes:
        tokenizer: gave the ids.
        train: training pairs.
        evaluation: evaluation pairs, or None.
        layout: how they were laid out.
        report: what was found and changed on the way from rows to ids.
        evaluation_report: the same of the evaluation pairs.
    """

    tokenizer: Any
    train: Sequence[TokenizedPair]
    evaluation: Sequence[TokenizedPair] | None
    layout: str
    report: DataReport
    evaluation_report: DataReport | None


Show = Callable[[DataReport, DataReport | None], None]
"""Takes the reports on training and evaluation pairs once these have token ids."""


def train(
    plan: Plan, *, resume: bool = False, overwrite: bool = False, show: Show | None = None
) -> RunFolder:
    """Train by a plan and return the finished run folder.

    Args:
        plan: see ``make_plan``.
        resume: continue from the newest checkpoint, if there is one.
        overwrite: replace a run that the folder holds.
        show: is called by the first process.
    """
    recipe = plan.recipe
    folder = RunFolder(recipe.output_dir)
    require_free(recipe.output_dir, resume=resume, overwrite=overwrite)
    args = training_config(recipe, overwrite=overwrite)
    data = tokenize(plan, show=show if args.process_index == 0 else None)
    trainer = TGDPOTrainer(
        policy(plan),
        ref_model=recipe.reference.name_or_path,
        args=args,
        train_dataset=data.train,
        eval_dataset=data.evaluation,
        processing_class=data.tokenizer,
        token_reward=list(plan.sources),
        shaping=plan.shaping,
        plugins=plan.plugins,
        precision=precision(recipe, args),
        trust=trust(recipe),
        judging=judging(plan),
        facts=facts(plan, data),
        config_yaml=to_yaml(recipe),
    )
    trainer.train(resume_from_checkpoint=resume or None)
    return folder


def dry_run(plan: Plan, *, show: Show | None = None) -> dict[str, Any]:
    """Return what a run would do, as JSON: pairs, tokens, steps, and the longest row run once."""
    args = training_config(plan.recipe)
    data = tokenize(plan, show=show)
    pairs_per_step = (
        args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    )
    steps_per_epoch = math.ceil(len(data.train) / pairs_per_step)
    steps = args.max_steps if args.max_steps > 0 else steps_per_epoch * args.num_train_epochs
    lengths = sorted(
        len(p.prompt_ids) + max(len(p.chosen.ids), len(p.rejected.ids)) for p in data.train
    )
    model = policy(plan).model.to(args.device)
    return {
        "model": plan.model,
        "device": str(args.device),
        "layout": data.layout,
        "data": data.report.as_dict(),
        "evaluation": data.evaluation_report.as_dict() if data.evaluation_report else None,
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


def tokenize(plan: Plan, *, show: Show | None = None) -> TokenizedData:
    """Return the plan's pairs with token ids.

    Args:
        plan: stays as it is; its reports are continued in copies.
        show: see ``Show``; called before shares that are too large end the run.

    Raises:
        DataError: rows that cannot be used, or more of something than ``data.max_shares`` allows.
    """
    section = plan.recipe.model
    tokenizer = load_tokenizer(
        plan.model, revision=section.revision, trust_remote_code=section.trust_remote_code
    )
    train, report = _tokenize(plan.train, tokenizer, plan.recipe)
    evaluation, evaluation_report = (
        _tokenize(plan.evaluation, tokenizer, plan.recipe) if plan.evaluation else (None, None)
    )
    if show:
        show(report, evaluation_report)
    for each in (report, evaluation_report):
        if each:
            check_shares(each, plan.recipe.data.max_shares)
    named = layout(tokenizer, plan.train.pairs)
    return TokenizedData(tokenizer, train, evaluation, named, report, evaluation_report)


def _tokenize(
    data: ParsedData, tokenizer: Any, recipe: Recipe
) -> tuple[list[TokenizedPair], DataReport]:
    report = copy.deepcopy(data.report)
    limits = LengthLimits(recipe.data.max_length, recipe.data.max_prompt_length)
    pairs = tokenize_pairs(data.pairs, tokenizer, limits, report)
    report.raise_if_unusable(recipe.data.on_bad_row)
    return pairs, report


def policy(plan: Plan) -> Policy:
    """Return the model to train."""
    from transformers import set_seed

    recipe = plan.recipe
    set_seed(int(recipe.training.get("seed", 42)))  # a LoRA adapter is drawn at random
    formats = Precision(_dtype(recipe), None, _attention(recipe))
    lora = fresh_adapter(recipe)
    return load_policy(policy_source(plan), precision=formats, trust=trust(recipe), lora=lora)


def policy_source(plan: Plan) -> ModelSource:
    """Return where the policy is."""
    return locate(plan.model, plan.recipe.model.revision)


def fresh_adapter(recipe: Recipe) -> dict[str, Any] | None:
    """Return the settings of the adapter that a recipe puts on its model, or None."""
    return recipe.model.lora.model_dump() if recipe.model.lora else None


def trust(recipe: Recipe) -> Trust:
    """Return what files of models may do."""
    return Trust(recipe.model.trust_remote_code, recipe.model.allow_pickle)


def precision(recipe: Recipe, args: TGDPOConfig) -> Precision:
    """Return the number formats of frozen models: those of the policy."""
    return training_precision(args, _dtype(recipe), _attention(recipe))


def _dtype(recipe: Recipe) -> torch.dtype:
    name = recipe.model.dtype
    return torch.float32 if name == "auto" else getattr(torch, name)


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
        "data": data.report.as_dict(),
        "evaluation_data": data.evaluation_report.as_dict() if data.evaluation_report else None,
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
