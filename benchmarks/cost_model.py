"""What preparing, scoring and training cost, from pairs, tokens, parameters and ranks. Pure sums.

FLOPs of a token are 2 N forward and 6 N forward and backward (N parameters; attention is left out:
below 10 % at 2k tokens and 8B parameters). Bytes follow from the formats. Seconds of the CPU stages
are those of docs/scale.md's table for one core, split into a part by pair and one by token.
"""

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Workload:
    """A data set and a model.

    Attributes:
        pairs: of the training set.
        tokens: of a pair: prompt once, both responses.
        response_tokens: of both responses.
        text_bytes: of a pair's row as JSON.
        parameters: of policy, and of each frozen model.
        frozen_models: that score: the reference and those of the rewards.
    """

    pairs: float
    tokens: float = 921
    response_tokens: float = 550
    text_bytes: float = 3300
    parameters: float = 8e9
    frozen_models: int = 3


@dataclass(frozen=True)
class Machine:
    """What the work runs on.

    Attributes:
        ranks: processes with an accelerator each.
        flops: dense bfloat16 FLOP/s of one.
        utilisation: share of it that a step reaches.
        memory: bytes of one.
        nodes: machines; each maps the tables once.
        cores: of a node, for tokenising.
    """

    ranks: int = 64
    flops: float = 989e12
    utilisation: float = 0.4
    memory: float = 80 * GIB
    nodes: int = 8
    cores: int = 64


@dataclass(frozen=True)
class Rates:
    """CPU-seconds of one core, measured (docs/scale.md)."""

    read_pair: float = 1.2e-5
    read_byte: float = 1e-8
    validate_pair: float = 7.1e-5
    validate_byte: float = 4e-8
    tokenise_pair: float = 3.6e-4
    tokenise_token: float = 5.85e-6
    plan_pair: float = 2e-6
    plugin_pair: float = 3.5e-4  # of a reward that computes nothing
    diagnosed_pair: float = 7e-4


def stages(work: Workload, rates: Rates) -> dict[str, float]:
    """Return CPU-seconds of each stage that needs no model, on one core."""
    n = work.pairs
    return {
        "read": n * (rates.read_pair + work.text_bytes * rates.read_byte),
        "validate": n * (rates.validate_pair + work.text_bytes * rates.validate_byte),
        "tokenise": n * (rates.tokenise_pair + work.tokens * rates.tokenise_token),
        "plan": n * rates.plan_pair,
        "reward plugin": n * rates.plugin_pair,
        "diagnose": min(n, 20_000) * rates.diagnosed_pair,
    }


def disk_bytes(work: Workload) -> dict[str, float]:
    """Return bytes on disk of the store's tables and values."""
    n = work.pairs
    offsets = 8 * work.response_tokens
    return {
        "rows": n * (work.text_bytes + 40),
        "pairs": n * 56,
        "tokens": n * (4 * work.tokens + offsets + 4 * work.response_tokens + 120),
        "values": n * (1 + work.frozen_models) * (4 * work.response_tokens + 40),
    }


def resident_bytes(work: Workload) -> float:
    """Return anonymous memory of one process that grows with the data: what is held by pair.

    Kept rows and hashes 56, counts and hashes of the token table 72, places of the values 48 for
    each pass (the index, and the rows' own), the sampler's order 8.
    """
    return work.pairs * (56 + 72 + 8 + 2 * 48 * (1 + work.frozen_models))


def model_seconds(work: Workload, machine: Machine) -> dict[str, float]:
    """Return seconds of scoring with all frozen models, and of one epoch."""
    speed = machine.ranks * machine.flops * machine.utilisation
    forward = 2 * work.parameters * work.tokens * work.pairs
    return {"score": work.frozen_models * forward / speed, "epoch": 3 * forward / speed}


def memory_of_ranks(work: Workload, machine: Machine) -> dict[str, float]:
    """Return bytes of accelerator memory a rank for what does not depend on the batch."""
    n = work.parameters
    return {
        "frozen model, whole": 2 * n,
        "frozen model, over the GPUs of a node": 2 * n / max(1, machine.ranks // machine.nodes),
        "training, sharded": (4 + 4 + 8) * n / machine.ranks,  # weights, gradients, Adam: float32
        "training, whole": (4 + 4 + 8) * n,
    }


def prediction(work: Workload, machine: Machine, rates: Rates) -> list[tuple[str, str]]:
    """Return lines of a table: what, and how much."""
    cpu = stages(work, rates)
    disk = disk_bytes(work)
    lines = [(name, f"{seconds / 3600:.2f} core-hours") for name, seconds in cpu.items()]
    hours = cpu["tokenise"] / machine.cores / 3600
    lines.append((f"tokenise on {machine.cores} cores", f"{hours:.2f} h"))
    lines += [(f"{name} on disk", f"{size / GIB:.1f} GiB") for name, size in disk.items()]
    lines.append(("resident, a rank", f"{resident_bytes(work) / GIB:.2f} GiB"))
    lines += [(k, f"{s / 3600:.1f} h") for k, s in model_seconds(work, machine).items()]
    for name, size in memory_of_ranks(work, machine).items():
        fits = "fits" if size < 0.8 * machine.memory else "does not fit"
        lines.append((name, f"{size / GIB:.0f} GiB ({fits})"))
    return lines
