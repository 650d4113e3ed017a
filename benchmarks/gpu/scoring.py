"""How fast a frozen model gives log-probs: what the reference and induced rewards cost."""

import gc
import time
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.gpu.workloads import SHAPES, WORKLOADS, pairs
from benchmarks.measure import wait_for
from benchmarks.workload import make_model
from tgdpo_core.engine.policy import TokenLogps

_TOKENS_PER_ROW = 32_768


def measure(device: str, *, small: bool) -> Iterator[dict[str, Any]]:
    """Yield pairs and tokens a second and peak memory of a frozen bfloat16 model of each shape."""
    for name, shape in SHAPES.items():
        vocab_size = 1000 if small else shape.vocab_size
        dtype = torch.float32 if small else torch.bfloat16
        of = "test" if small else shape.name
        model = make_model(of, vocab_size, device=device, dtype=dtype).eval()
        engine = TokenLogps(model)
        for workload in WORKLOADS:
            given = pairs("12:6" if small else workload, 4 * shape.step[workload], vocab_size)
            facts = {"shape": name, "workload": workload, "attention": engine.choice.attention}
            yield facts | _timed(engine, given, device)
        del model, engine
        gc.collect()


def _timed(engine: TokenLogps, given: Any, device: str) -> dict[str, Any]:
    plan = engine.plan(given, _TOKENS_PER_ROW)
    rows = [engine.row([given[i] for i in members]) for members in plan]
    with torch.no_grad():
        engine(rows[0].to(device))
        wait_for(device)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        found = [engine(row.to(device)) for row in rows]
        wait_for(device)
    seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None
    return {
        "pairs_per_second": len(given) / seconds,
        "tokens_per_second": sum(row.num_tokens for row in rows) / seconds,
        "peak_gib": peak,
        "finite": all(bool(values.isfinite().all()) for values in found),
    }
