"""A few layers of Gemma 2 (soft-caps, windows): FlexAttention, segments, and the plain model."""

import time
from collections.abc import Iterator
from typing import Any

import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from benchmarks.gpu.workloads import pairs
from benchmarks.measure import wait_for
from tgdpo_core.engine.policy import TokenLogps

_LAYERS = 8
_SHAPE = {
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "vocab_size": 256_000,
}
_SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 1000,
}


def measure(device: str, *, small: bool) -> Iterator[dict[str, Any]]:
    """Yield milliseconds and peak memory of a row of 8192 tokens, forward and backward."""
    shape = _SMALL if small else _SHAPE
    config = Gemma2Config(num_hidden_layers=2 if small else _LAYERS, **shape)
    config._attn_implementation = "eager"
    torch.set_default_dtype(torch.float32 if small else torch.bfloat16)
    with torch.device(device):
        model = Gemma2ForCausalLM(config).train()
    torch.set_default_dtype(torch.float32)
    for workload in ["12:6"] if small else ["hh", "1000:1000"]:
        given = pairs(workload, 64, shape["vocab_size"])
        for attention, layout in (("flex", "auto"), ("segments", "auto"), ("auto", "pad")):
            if small and attention == "flex":
                continue  # no backward on a CPU
            engine = TokenLogps(model, attention=attention, layout=layout)
            rows = [
                engine.row([given[i] for i in members]).to(device)
                for members in engine.plan(given, 256 if small else 8192)[:4]
            ]
            facts = {"workload": workload, "wanted": attention, "layout": engine.choice.layout}
            try:
                facts |= _timed(engine, rows, device)
            except torch.OutOfMemoryError:
                facts["error"] = "does not fit"
            model.zero_grad(set_to_none=True)
            yield {**facts, "attention": engine.choice.attention}


def _timed(engine: TokenLogps, rows: list[Any], device: str) -> dict[str, Any]:
    for row in rows[:2]:
        engine(row).sum().backward()
    wait_for(device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    for row in rows:
        engine(row).sum().backward()
    wait_for(device)
    seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None
    count = sum(row.num_pairs for row in rows)
    return {"ms_per_pair": 1e3 * seconds / count, "peak_gib": peak}
