"""The memory of a planned run: what it needs of a GPU, whether the GPU has it, what would fit."""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch

from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.engine.rows import plan_rows
from tgdpo_core.errors import MachineError
from tgdpo_core.preparation.formats import fresh_adapter, policy_source, trust_of, weights_dtype
from tgdpo_core.preparation.plan import Plan
from tgdpo_core.progress import stage
from tgdpo_core.training.memory.activations import UnknownMemoryError
from tgdpo_core.training.memory.counts import config_of
from tgdpo_core.training.memory.parts import GIB, Parts, Row, Setting
from tgdpo_core.training.memory.prediction import Trained, empty_policy, predicted_parts
from tgdpo_core.training.row_size import size_within

logger = logging.getLogger(__name__)

_MOST_PLANNED = 50_000  # pairs
_UNKNOWN_GPU = 8192  # tokens of a row
_CONTEXT = 1 * GIB  # of CUDA and its libraries, beside all tensors
_LORA = {"r": 16, "alpha": 32, "target_modules": "all-linear"}


@dataclass(frozen=True)
class Machine:
    """The GPUs that a run is planned for.

    Attributes:
        memory: bytes of one of them; None: not known.
        gpus: how many share the weights (FSDP2).
        replicas: how many each hold all of them.
    """

    memory: float | None = None
    gpus: int = 1
    replicas: int = 1


@dataclass(frozen=True)
class MemoryPlan:
    """What a step needs.

    Attributes:
        parts: by part.
        row: the longest row.
        machine: what it was planned for.
        is_data: the row is one of the data; else it is as long as rows can be.
    """

    parts: Parts
    row: Row
    machine: Machine
    is_data: bool

    @property
    def needed(self) -> float:
        """Bytes of a GPU, those of CUDA included."""
        return self.parts.total + _CONTEXT

    @property
    def fits(self) -> bool | None:
        """Whether the GPU has them; None: not known."""
        return None if self.machine.memory is None else self.needed <= self.machine.memory

    def document(self) -> dict[str, Any]:
        """Return JSON, sizes in GiB."""
        return {
            "gib_per_gpu": {
                **{name: size / GIB for name, size in self.parts.by_name().items()},
                "cuda": _CONTEXT / GIB,
                "total": self.needed / GIB,
            },
            "highest": self.parts.moment,
            "row": {
                **asdict(self.row),
                "from": "data" if self.is_data else "a full row",
            },
            "gpu_memory_gib": self.machine.memory and self.machine.memory / GIB,
            "gpus_that_share_weights": self.machine.gpus,
            "fits": self.fits,
        }


def machine_of(*, memory_gib: float | None = None, gpus: int | None = None) -> Machine:
    """Return the GPUs that were asked about, else those that are here.

    Args:
        memory_gib: of one GPU, or None.
        gpus: how many share the weights, or None: as this process was started.
    """
    memory = memory_gib * GIB if memory_gib else None
    if memory is None and torch.cuda.is_available():
        memory = float(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory)
    started = int(os.environ.get("WORLD_SIZE") or 1)
    is_sharded = os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true")
    shards = gpus or (started if is_sharded else 1)
    return Machine(memory, shards, 1 if is_sharded or gpus else started)


def plan_memory(plan: Plan, machine: Machine, table: TokenTable | None = None) -> MemoryPlan:
    """Return what a step of a plan needs of a GPU.

    Args:
        plan: the run.
        machine: what it is planned for.
        table: the training pairs; None: rows are as long as they can be.

    Raises:
        UnknownMemoryError: the model cannot be asked, or the way it is shared out is not known.
    """
    recipe = plan.recipe
    if recipe.training.get("deepspeed") or os.environ.get("ACCELERATE_USE_DEEPSPEED"):
        raise UnknownMemoryError("what DeepSpeed shares out is not planned")
    if recipe.training.get("fsdp") and machine.replicas > 1:
        machine = replace(machine, gpus=machine.replicas, replicas=1)
    source, trust = policy_source(plan), trust_of(recipe)
    adapter = source if source.base and not recipe.model.lora else None
    trained = Trained(weights_dtype(recipe), fresh_adapter(recipe), adapter, trust)
    setting = setting_of(recipe.training, machine, four_bits=recipe.model.load_in_4bit)
    config = config_of(source, trust)
    budget = recipe.engine.tokens_per_row or _budget(
        empty_policy(config, trained), setting, machine
    )
    row = longest_row(table, budget) if table else Row(budget, budget)
    parts = predicted_parts(
        config,
        trained,
        row,
        setting,
        chunk_size=recipe.engine.logits_chunk_size,
    )
    return MemoryPlan(parts, row, machine, table is not None)


def _budget(model: Any, setting: Setting, machine: Machine) -> int:
    """Return the most tokens of a row, as a run on such a GPU would choose."""
    if machine.memory is None:
        return _UNKNOWN_GPU
    weights = sum(each.numel() * each.element_size() for each in model.parameters())
    args: Any = SimpleNamespace(
        bf16=setting.autocast,
        fp16=False,
        optim=setting.optimizer,
        gradient_checkpointing=setting.checkpointing,
    )
    free = int(machine.memory - _CONTEXT - weights)
    return size_within(model, args, free=free, shards=machine.gpus).tokens


def memory_document(plan: Plan, machine: Machine, table: TokenTable | None = None) -> Any:
    """Return the JSON of a plan's memory, or why it is not known."""
    try:
        return plan_memory(plan, machine, table).document()
    except UnknownMemoryError as error:
        return {"not_known": str(error)}


def require_memory(plan: Plan, machine: Machine, table: TokenTable | None = None) -> None:
    """Raise ``MachineError`` if a GPU is known to be too small, with what would fit."""
    if machine.memory is None:
        return
    try:
        found = plan_memory(plan, machine, table)
    except UnknownMemoryError as error:
        logger.warning("Whether a step fits into a GPU's memory is not known: %s.", error)
        return
    if not found.fits:
        raise _too_little(plan, found, table)


def setting_of(
    training: Mapping[str, Any], machine: Machine, *, four_bits: bool = False
) -> Setting:
    """Return how a run trains on GPUs by its settings."""
    bf16, fp16 = training.get("bf16"), training.get("fp16")
    checkpointing = training.get("gradient_checkpointing") or training.get(
        "activation_checkpointing"
    )
    return Setting(
        optimizer=str(training.get("optim") or "adamw_torch_fused"),
        autocast=bool(fp16 or bf16 or bf16 is None),
        checkpointing=bool(checkpointing),
        is_quantised=four_bits,
        shards=machine.gpus,
        replicas=machine.replicas,
    )


def longest_row(table: TokenTable, budget: int) -> Row:
    """Return the row of the data that has the most tokens, as rows are packed for a GPU."""
    counts = table.counts
    shared = counts.shared[:_MOST_PLANNED].tolist()
    responses = (counts.chosen + counts.rejected)[:_MOST_PLANNED].tolist()
    rows = (
        Row(sum(shared[i] for i in each), sum(responses[i] for i in each))
        for each in plan_rows(shared, budget)
    )
    return max(rows, key=lambda row: row.tokens)


def _too_little(plan: Plan, found: MemoryPlan, table: TokenTable | None) -> MachineError:
    memory = found.machine.memory or 0.0
    parts = {k: v for k, v in found.parts.by_name().items() if v > 0.05 * GIB}
    parts["cuda"] = _CONTEXT
    shown = ", ".join(f"{name} {size / GIB:.1f}" for name, size in parts.items())
    return MachineError(
        f"Too little memory: a step needs about {found.needed / GIB:.1f} GiB of a GPU, which has "
        f"{memory / GIB:.1f} ({shown}; row of "
        f"{found.row.tokens} tokens). {_what_fits(plan, found, table)}"
    )


def _what_fits(plan: Plan, found: MemoryPlan, table: TokenTable | None) -> str:
    """Return a sentence with the first change of the settings that fits."""
    changes = list(_changes(plan))
    with stage("what fits", len(changes), "setting") as bar:
        for said, changed in changes:
            other = plan_memory(changed, found.machine, table)
            if other.fits:
                return f"What fits: {said} ({other.needed / GIB:.1f} GiB)."
            bar.update()
    return "Lower engine.tokens_per_row, or share the weights over several GPUs (FSDP2)."


def _changes(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """Yield settings that take less memory, in words and as plans, the gentlest first."""
    recompute = {"gradient_checkpointing": True}
    small = {"optim": "adamw_torch_8bit", "optim_args": "bf16_stochastic_round=true"}
    if not plan.recipe.training.get("gradient_checkpointing"):
        yield "training.gradient_checkpointing=true", _with(plan, recompute)
    lora = plan.recipe.model.lora
    if not lora:
        yield (
            "model.dtype=bfloat16 with training.optim=adamw_torch_8bit, "
            "training.optim_args=bf16_stochastic_round=true and "
            "training.gradient_checkpointing=true",
            _with(plan, {**recompute, **small}, dtype="bfloat16"),
        )
    yield (
        "model.dtype=bfloat16 with training.gradient_checkpointing=true"
        + ("" if lora else " and model.lora={r: 16, alpha: 32}"),
        _with(plan, recompute, dtype="bfloat16", lora=lora.model_dump() if lora else _LORA),
    )
    yield (
        "model.load_in_4bit=true with training.gradient_checkpointing=true, model.dtype=bfloat16"
        + ("" if lora else " and model.lora={r: 16, alpha: 32}"),
        _with(
            plan,
            recompute,
            dtype="bfloat16",
            lora=lora.model_dump() if lora else _LORA,
            load_in_4bit=True,
        ),
    )


def _with(plan: Plan, training: Mapping[str, Any], **model: Any) -> Plan:
    """Return a plan with other settings."""
    recipe = plan.recipe
    document = recipe.model_dump()
    settings = {**document["training"], **training}
    if "lora" in model:
        settings = {k: v for k, v in settings.items() if k not in ("optim", "optim_args")}
    document |= {"training": settings, "model": {**document["model"], **model}}
    return replace(plan, recipe=type(recipe).model_validate(document))
