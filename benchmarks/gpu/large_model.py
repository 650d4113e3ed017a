"""One card, a whole 8B: bfloat16 weights, 8-bit AdamW with stochastic rounding, checkpointing."""

from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.gpu.workloads import SHAPES, pairs
from benchmarks.measure import MIB, Meter
from benchmarks.methods import row_loss
from benchmarks.workload import make_model
from tgdpo_core.engine.policy import TokenLogps


def measure(device: str, *, small: bool) -> Iterator[dict[str, Any]]:
    """Yield peak memory and speed of full steps, HH pairs and 2k-token pairs."""
    from torchao.optim import AdamW8bit

    shape = SHAPES["8B"]
    vocab_size = 1000 if small else shape.vocab_size
    dtype = torch.float32 if small else torch.bfloat16
    name = "test" if small else shape.name
    model = make_model(name, vocab_size, device=device, dtype=dtype).train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.config.use_cache = False
    optimizer = AdamW8bit(model.parameters(), lr=1e-6, bf16_stochastic_round=not small)
    engine = TokenLogps(model)
    for workload in ["12:6"] if small else ["hh", "1000:1000"]:
        step = 4 if small else 16
        given = pairs(workload, 3 * step, vocab_size)
        meter = Meter(device)
        for start in range(0, len(given), step):
            if start == step:
                meter.start()
            _step(engine, given[start : start + step], device)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        result = meter.stop("ours", 2 * step)
        yield {
            "workload": workload,
            "attention": engine.choice.attention,
            "pairs_per_second": 1 / result.seconds_per_pair,
            "peak_gib": result.peak_mib * MIB / 2**30,
            "static_gib": result.static_mib * MIB / 2**30,
        }


def _step(engine: TokenLogps, given: Any, device: str) -> None:
    for members in engine.plan(given, 8192):
        row = engine.row([given[i] for i in members]).to(device)
        (row_loss(engine, row) / len(given)).backward()
