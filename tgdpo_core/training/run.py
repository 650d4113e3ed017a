"""Runs from a plan: train, or only say what would happen."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from tgdpo_core.errors import RecipeError
from tgdpo_core.generation.sampling import Sampling
from tgdpo_core.preparation.formats import load_plan_policy, precision_of, trust_of
from tgdpo_core.preparation.plan import Plan, resolved_recipe
from tgdpo_core.preparation.reading import read
from tgdpo_core.preparation.tokens import Show, Tokens, tokenize
from tgdpo_core.recipe.loading import to_yaml
from tgdpo_core.recipe.schema import Recipe
from tgdpo_core.scoring.loss_choice import describe
from tgdpo_core.training.base_model import is_hub_id
from tgdpo_core.training.config import TGDPOConfig
from tgdpo_core.training.durability.signals import stop_signals, stopping_is
from tgdpo_core.training.judging import Judging
from tgdpo_core.training.limits import packing_summary
from tgdpo_core.training.memory.planning import (
    Machine,
    machine_of,
    memory_document,
    require_memory,
)
from tgdpo_core.training.rank_rows import epoch_place
from tgdpo_core.training.rehearsal import rehearse
from tgdpo_core.training.run_folder import RunFolder, require_free
from tgdpo_core.training.tracked import check_trackers
from tgdpo_core.training.trainer import TGDPOTrainer


def train(
    plan: Plan,
    *,
    resume: bool = False,
    overwrite: bool = False,
    allow_changed: Collection[str] = (),
    show: Show | None = None,
    machine: Machine | None = None,
) -> RunFolder:
    """Train by a plan and return the finished run folder.

    Args:
        plan: see ``make_plan``.
        resume: continue from the newest checkpoint, if there is one.
        overwrite: replace a run that the folder holds.
        allow_changed: what may differ from the run that is resumed.
        show: is called by the first process.
        machine: the GPUs; None: those that are here.

    Raises:
        MachineError: a step is known not to fit into their memory.
        Preempted: a stop signal came; what was done is kept.
    """
    output_dir = plan.recipe.output_dir
    require_free(output_dir, resume=resume, overwrite=overwrite)
    with stop_signals():
        with stopping_is("Nothing was trained yet; what was scored is kept. Start it again."):
            args = training_config(plan.recipe, overwrite=overwrite)
            check_trackers(args)
            tokens = tokenize(plan, read(plan), show=show if args.process_index == 0 else None)
            require_memory(plan, machine or _machine_of(args), tokens.train)
            trainer = _trainer(plan, args, tokens, allowed=allow_changed)
        trainer.train(resume_from_checkpoint=resume or None)
    return RunFolder(output_dir)


def _machine_of(args: TGDPOConfig) -> Machine:
    """Return the GPUs of this run; their memory is not known where it runs on CPUs."""
    is_gpu = args.device.type == "cuda" and not args.deepspeed
    return machine_of() if is_gpu else Machine()


def _trainer(
    plan: Plan, args: TGDPOConfig, tokens: Tokens, *, allowed: Collection[str]
) -> TGDPOTrainer:
    """Return the trainer of a plan, its pairs scored."""
    recipe = plan.recipe
    return TGDPOTrainer(
        load_plan_policy(plan),
        ref_model=recipe.reference.name_or_path,
        args=args,
        train_dataset=tokens.train,
        eval_dataset=tokens.evaluation,
        processing_class=tokens.tokenizer,
        token_reward=list(plan.sources),
        shaping=plan.shaping,
        loss=plan.loss,
        plugins=plan.plugins,
        precision=precision_of(plan),
        trust=trust_of(recipe),
        judging=judging(plan, tokens),
        facts=facts(plan, tokens),
        config_yaml=to_yaml(resolved_recipe(plan)),
        allow_changed=allowed,
    )


def dry_run(plan: Plan, tokens: Tokens, machine: Machine | None = None) -> dict[str, Any]:
    """Return what a run would do, as JSON: pairs, tokens, steps, and the longest row run once."""
    args = training_config(plan.recipe)
    counts = tokens.train.counts
    pairs_per_step = (
        args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    )
    epoch = epoch_place(len(tokens.train), args.train_batch_size, args)
    steps_per_epoch = math.ceil(epoch.batches_per_epoch / args.gradient_accumulation_steps)
    steps = args.max_steps if args.max_steps > 0 else steps_per_epoch * args.num_train_epochs
    lengths = sorted(counts.longest.tolist())
    model = load_plan_policy(plan).model.to(args.device)
    return {
        "model": plan.model,
        "device": str(args.device),
        "layout": tokens.layout,
        "data": tokens.report.as_dict(),
        "evaluation": tokens.evaluation_report.as_dict() if tokens.evaluation_report else None,
        "longest_sequence": lengths[-1],
        "median_sequence": lengths[len(lengths) // 2],
        "pairs_per_step": pairs_per_step,
        "steps": math.ceil(steps),
        "packing": packing_summary(counts, args.per_device_train_batch_size),
        "rehearsal": rehearse(
            model,
            tokens.train,
            args,
            loss=plan.loss,
            steps=math.ceil(steps),
            pairs_per_step=pairs_per_step,
        ),
        "memory": memory_document(plan, machine or machine_of(), tokens.train),
        "reward_sources": [source.describe() for source in plan.sources],
        "shaping": {"name": plan.shaping[0], "options": plan.shaping[1].options()},
        "loss": describe(plan.loss),
        "store_bytes": 4 * (1 + len(plan.sources)) * int(counts.responses.sum()),
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
        "loss_args": recipe.loss.args or None,
        "label_smoothing": recipe.loss.label_smoothing,
        "sft_weight": recipe.loss.sft_weight,
        "simpo_gamma": recipe.loss.simpo_gamma,
        "max_length": recipe.data.max_length,
        "max_prompt_length": recipe.data.max_prompt_length,
        "on_bad_row": recipe.data.on_bad_row,
        "layout": recipe.engine.layout,
        "tokens_per_row": recipe.engine.tokens_per_row,
        "logits_chunk_size": recipe.engine.logits_chunk_size,
        "compile_layers": recipe.engine.compile_layers,
        "write_report": recipe.report,
        "overwrite": overwrite,
        **recipe.training,
    }
    if recipe.data.eval_path:
        values.setdefault("eval_strategy", "epoch")
    try:
        return TGDPOConfig(**values)
    except (ValueError, TypeError) as error:
        raise RecipeError(f"training: {error}") from error


def judging(plan: Plan, tokens: Tokens) -> Judging | None:
    """Return what is asked and judged during training, or None."""
    section = plan.recipe.judging
    if not section or not plan.judge or not tokens.pairs.judged:
        return None
    return Judging(
        name=section.judge,
        judge=plan.judge,
        pairs=tokens.pairs.judged,
        sampling=Sampling(
            max_new_tokens=section.max_new_tokens,
            samples=section.samples,
            greedy=section.greedy,
            temperature=section.temperature,
            top_p=section.top_p,
        ),
        batch_size=section.batch_size,
        unfinished=section.unfinished,
        every_epochs=section.every_epochs,
        every_steps=section.every_steps,
        kl=section.kl,
    )


def facts(plan: Plan, tokens: Tokens) -> Mapping[str, Any]:
    """Return what run.json says about the plan."""
    return {
        "model": plan.model,
        "dataset": plan.recipe.data.path,
        "evaluation_dataset": plan.recipe.data.eval_path,
        "judge": plan.recipe.judging.judge if plan.recipe.judging else None,
        "hub_datasets": hub_datasets(plan),
        "data": tokens.report.as_dict(),
        "evaluation_data": tokens.evaluation_report and tokens.evaluation_report.as_dict(),
        "layout": tokens.layout,
        **({"ablation": dict(zip(("name", "cell"), plan.cell, strict=True))} if plan.cell else {}),
        "plugins": [
            {
                "kind": item.kind,
                "name": item.name,
                "origin": item.origin,
                "source": item.source,
            }
            for item in plan.plugins
        ],
        "broken_plugins": [str(broken) for broken in plan.plugins.broken],
    }


def hub_datasets(plan: Plan) -> list[str]:
    """Return the data of the Hub that a plan reads: no registered name, nothing on this disk."""
    data = plan.recipe.data
    named = [path for path in (data.path, data.eval_path) if isinstance(path, str)]
    return [
        name
        for name in dict.fromkeys(named)
        if not plan.plugins.has("dataset", name) and is_hub_id(name)
    ]
