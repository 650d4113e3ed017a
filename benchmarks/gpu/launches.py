"""What the card does during one of our steps: launches, busy time, waits of the host."""

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.waits import noted_waits
from benchmarks.gpu.workloads import SHAPES, pairs
from benchmarks.measure import wait_for
from benchmarks.methods import Task, row_loss
from tgdpo_core.engine.compiled_layers import compile_layers
from tgdpo_core.engine.policy import TokenLogps


def measure(device: str, *, small: bool) -> Iterator[dict[str, Any]]:
    """Yield the facts of one row of HH pairs on the smallest shape, layers as they are and
    compiled."""
    for compiled in (False, True):
        yield {"layers": "compiled" if compiled else "plain", **_row(device, compiled, small=small)}


def _row(device: str, compiled: bool, *, small: bool) -> dict[str, Any]:
    """Return the facts of a forward and backward."""
    shape = SHAPES["135M"]
    task = Task(
        pairs=pairs("12:6" if small else "hh", 4 if small else 160, 1000 if small else 49_152),
        step=4,
        shape="test" if small else shape.name,
        vocab_size=1000 if small else shape.vocab_size,
        device=device,
        dtype=torch.bfloat16 if device == "cuda" else torch.float32,
    )
    model = task.model().train()
    if compiled:
        compile_layers(model, backend="aot_eager" if small else "inductor")
    engine = TokenLogps(model)
    plan = engine.plan(task.pairs, 8192)
    rows = [engine.row([task.pairs[i] for i in row]).to(device) for row in plan[:4]]

    def step(row: Any) -> None:
        row_loss(engine, row).backward()

    for row in rows[:3]:
        step(row)
    row = rows[-1]
    step(row)  # its index tensors are made
    wait_for(device)
    started = time.perf_counter()
    step(row)
    enqueued = time.perf_counter() - started
    wait_for(device)
    wall = time.perf_counter() - started
    waits: list[str] = []
    with noted_waits(waits):
        step(row)
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
    with profile(activities=kinds) as recorded:
        step(row)
        wait_for(device)
    events = recorded.key_averages()
    kernels = [e for e in events if "CUDA" in str(e.device_type)]
    return {
        "attention": engine.choice.attention,
        "head": engine.choice.head_kernel,
        "tokens": row.num_tokens,
        "pairs": row.num_pairs,
        "wall_ms": wall * 1e3,
        "host_ms": enqueued * 1e3,
        "kernels": sum(e.count for e in kernels),
        "busy_ms": sum(e.self_device_time_total for e in kernels) / 1e3,
        "waits": waits,
        "top": [
            {"kernel": e.key[:90], "ms": e.self_device_time_total / 1e3, "count": e.count}
            for e in sorted(kernels, key=lambda e: -e.self_device_time_total)[:12]
        ],
    }
