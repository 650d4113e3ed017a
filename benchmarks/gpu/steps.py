"""Our step against the official recipe and TRL: pairs per second, MFU, peak memory."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from benchmarks.gpu.workloads import SHAPES, pairs, row_budget
from benchmarks.measure import Result
from benchmarks.methods import Task, run_official, run_ours, run_trl_best

_Run = tuple[Callable[..., Result], dict[str, Any]]
_OURS: _Run = (run_ours, {"layout": "share"})
_COMPILED: dict[str, _Run] = {
    "ours, layers compiled": (run_ours, {"layout": "share", "compiled": True})
}
# TRL's micro-batch is the fastest of those that were tried and fit.
_METHODS: dict[str, dict[str, _Run]] = {
    "135M": {
        "ours": _OURS,
        "TRL best, micro-batch 32": (run_trl_best, {"micro_batch": 32}),
        "official, micro-batch 16": (run_official, {"micro_batch": 16}),
        "ours, prompts not shared": (run_ours, {"layout": "pack"}),
        **_COMPILED,
    },
    "1.5B": {
        "ours": _OURS,
        "TRL best, micro-batch 16": (run_trl_best, {"micro_batch": 16}),
        "official, micro-batch 4": (run_official, {"micro_batch": 4}),
        **_COMPILED,
    },
    "8B": {
        "ours": _OURS,
        "TRL best, micro-batch 4": (run_trl_best, {"micro_batch": 4}),
        "official, micro-batch 1": (run_official, {"micro_batch": 1}),
        **_COMPILED,
    },
}
# Dense bfloat16, by the vendor's data sheets.
_PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}


def measure(
    device: str, shape_name: str, workload: str, *, small: bool
) -> Iterator[dict[str, Any]]:
    """Yield one result for each method; one that runs out of memory says so."""
    shape = SHAPES[shape_name]
    vocab_size, step = (1000, 4) if small else (shape.vocab_size, shape.step[workload])
    given = pairs("12:6" if small else workload, step * (shape.steps + 1), vocab_size)
    task = Task(
        pairs=given,
        step=step,
        shape="test" if small else shape.name,
        vocab_size=vocab_size,
        device=device,
        dtype=torch.bfloat16 if device == "cuda" else torch.float32,
    )
    model = replace(task, device="meta").model()
    body = sum(p.numel() for p in model.model.layers.parameters())
    head = model.lm_head.weight.numel()
    task = replace(task, tokens_per_row=row_budget(model))
    for method, (run, settings) in _METHODS[shape_name].items():
        facts: dict[str, Any] = {"shape": shape_name, "workload": workload, "method": method}
        facts |= {"tokens_per_row": task.tokens_per_row, "step": step}
        try:
            result = run(method, task, **_within(settings, step)).as_dict()
            facts |= result | {"pairs_per_second": 1 / result["seconds_per_pair"]}
            facts["mfu"] = _mfu(task, body, head, result["seconds_per_pair"])
        except torch.OutOfMemoryError:
            facts["error"] = "does not fit"
        except Exception as error:  # noqa: BLE001 - one method must not end the others
            facts["error"] = f"{type(error).__name__}: {error}"[:600]
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
        yield facts


def _within(settings: dict[str, Any], step: int) -> dict[str, Any]:
    """Return settings whose micro-batch is no larger than a step."""
    if "micro_batch" in settings:
        return {**settings, "micro_batch": min(settings["micro_batch"], step)}
    return settings


def _mfu(task: Task, body: int, head: int, seconds_per_pair: float) -> float | None:
    """Return useful FLOPs (each distinct token once, logits of responses) over the card's peak.

    Attention's own products are left out, so figures of long sequences are a little low.
    """
    if task.device != "cuda":
        return None
    name = torch.cuda.get_device_name()
    peak = next((flops for key, flops in _PEAK_FLOPS.items() if key in name), None)
    measured = task.pairs[task.step :]
    tokens = sum(pair.shared_length for pair in measured) / len(measured)
    answers = sum(len(p.chosen) + len(p.rejected) for p in measured) / len(measured)
    useful = 6 * (body * tokens + head * answers)
    return None if peak is None else float(useful / seconds_per_pair / peak)
