"""Going on with another run than the one that was saved: never without being told to."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tgdpo_core.errors import CheckpointError, UsageError, did_you_mean
from tgdpo_core.store.folder import json_object
from tgdpo_core.training.durability.identity import FILE, Difference, differences, table

# What a checkpoint's tensors would not fit, or not mean.
_NEVER = {
    "optim": "the saved optimizer state belongs to another optimizer",
    "lora": "the saved weights are those of another adapter",
    "architecture": "the saved weights belong to another architecture",
}
_EFFECTS = {
    "learning_rate": "the new value is used from the next step on, at the schedule's position",
    "weight_decay": "the new value is used from the next step on",
    "adam_beta1": "the new value is used from the next step on",
    "adam_beta2": "the new value is used from the next step on",
    "adam_epsilon": "the new value is used from the next step on",
    "lr_scheduler_type": "the new schedule is used from the next step on, at its position",
    "warmup_steps": "the new schedule is used from the next step on, at its position",
    "max_steps": "the schedule is stretched: the next step takes its place on the new one",
    "num_train_epochs": "the schedule is stretched: the next step takes its place on the new one",
    "model": "the weights come from the checkpoint all the same",
    "reference": "the steps done so far keep what they learnt against the old one",
    "seed": "the order of the rows changes: some are seen twice, some not at all",
    "data_seed": "the order of the rows changes: some are seen twice, some not at all",
    "data": "the position is counted in steps: rows may be seen twice or not at all",
    "per_device_train_batch_size": "the position is counted in steps: rows may be seen twice or "
    "not at all",
    "gradient_accumulation_steps": "the position is counted in steps: rows may be seen twice or "
    "not at all",
    "world_size": "the position is counted in steps: rows may be seen twice or not at all",
}
_HYPERPARAMETERS = {
    "learning_rate": "initial_lr",
    "weight_decay": "weight_decay",
    "adam_beta1": "betas",
    "adam_beta2": "betas",
    "adam_epsilon": "eps",
}
_SCHEDULE = frozenset(
    (
        *("learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps"),
        *("max_steps", "num_train_epochs"),
    )
)


def write_identity(folder: Path, identity: Mapping[str, Any]) -> None:
    """Write what the run is beside its checkpoint."""
    (folder / FILE).write_text(json.dumps(identity, indent=1) + "\n", encoding="utf-8")


def require_same(
    checkpoint: Path, identity: Mapping[str, Any], allowed: Collection[str]
) -> list[Difference]:
    """Return the allowed differences between a checkpoint's run and this one.

    Args:
        checkpoint: whole; what it belongs to is read from it.
        identity: of this run.
        allowed: keys, or the words before their dots, that may differ.

    Raises:
        UsageError: something else differs, or a key is none.
        CheckpointError: the checkpoint does not say what it belongs to.
    """
    try:
        saved = json_object((checkpoint / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{checkpoint} does not say which run it belongs to.") from error
    known = {part for key in saved.keys() | identity.keys() for part in _prefixes(key)}
    for key in allowed:
        if key not in known:
            raise UsageError(f"--allow-changed {key}: no such key. {did_you_mean(key, known)}")
    found = differences(saved, identity)
    refused = [d for d in found if not allowed_by(d.key, allowed) or _first(d.key) in _NEVER]
    if refused:
        raise UsageError(_refusal(checkpoint, refused))
    return found


def effects(found: Sequence[Difference]) -> str:
    """Return what each allowed difference does, a line each."""
    lines = {first: _EFFECTS[first] for d in found if (first := _first(d.key)) in _EFFECTS}
    said = table(found, ("what", "saved", "now"))
    return "\n".join([said, *(f"  {key}: {effect}." for key, effect in lines.items())])


def allowed_by(key: str, allowed: Collection[str]) -> bool:
    """Return whether a dotted key, or what it is part of, is among the allowed ones."""
    return not set(_prefixes(key)).isdisjoint(allowed)


def hyperparameters(optimizer: Any) -> list[dict[str, Any]]:
    """Return the settings of an optimizer's parameter groups, before a state is loaded."""
    return [
        {name: value for name, value in group.items() if name != "params"}
        for group in optimizer.param_groups
    ]


def apply_changes(
    optimizer: Any, scheduler: Any, fresh: Sequence[Mapping[str, Any]], changed: Collection[str]
) -> None:
    """Give a loaded optimizer and scheduler the settings that were allowed to change.

    Loading restores the old ones in silence.

    Args:
        optimizer: with the saved state.
        scheduler: with the saved state.
        fresh: its settings before that.
        changed: keys of the identity.

    Raises:
        UsageError: the scheduler keeps its rates in its state, so they cannot change.
    """
    names = {_HYPERPARAMETERS[key] for key in changed if key in _HYPERPARAMETERS}
    for group, settings in zip(optimizer.param_groups, fresh, strict=True):
        group.update({name: settings[name] for name in names if name in settings})
    if _SCHEDULE.isdisjoint(changed):
        return
    inner = getattr(scheduler, "scheduler", scheduler)
    if not isinstance(inner, torch.optim.lr_scheduler.LambdaLR):
        raise UsageError(
            f"The schedule {type(inner).__name__} keeps its learning rates in its state: they "
            "cannot change on --resume. Start a new run from the checkpoint's weights (--model)."
        )
    if "learning_rate" in changed:
        inner.base_lrs = [settings["initial_lr"] for settings in fresh]
    rates = [
        base * shape(inner.last_epoch)
        for base, shape in zip(inner.base_lrs, inner.lr_lambdas, strict=True)
    ]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(group["lr"], torch.Tensor):  # torchao reads it where it lies
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
    inner._last_lr = rates


def _refusal(checkpoint: Path, refused: Sequence[Difference]) -> str:
    flags = sorted({_first(d.key) for d in refused if _first(d.key) not in _NEVER})
    never = {_first(d.key): _NEVER[_first(d.key)] for d in refused if _first(d.key) in _NEVER}
    lines = [
        f"{checkpoint} was saved by another run:",
        table(refused, ("what", "saved", "now")),
        *(f"  {key}: {effect}." for key, effect in _EFFECTS.items() if key in flags),
    ]
    if {d.key for d in refused} == {"data.order"}:
        lines.append("  These are the same pairs in another order.")
    for key, reason in never.items():
        lines.append(f"  {key} cannot change: {reason}.")
    if never:
        lines.append(f"Start a new run from its weights instead: --model {checkpoint}.")
    else:
        given = " ".join(f"--allow-changed {key}" for key in flags)
        lines.append(f"Give the run its old settings, or say that this is meant: {given}")
    return "\n".join(lines)


def _first(key: str) -> str:
    return key.partition(".")[0]


def _prefixes(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]
