"""Pairs with the lengths of real data (random ids: the card does not read them), and the shapes."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tgdpo_core.engine.row_budget import budget_within, row_memory
from tgdpo_core.engine.rows import PairIds

_LENGTHS = Path(__file__).with_name("lengths.json")


@dataclass(frozen=True)
class Shape:
    """A model that is measured.

    Attributes:
        name: in ``benchmarks.workload.SHAPES``.
        vocab_size: of the real model.
        step: pairs of an optimizer step, by workload.
        steps: measured ones, after one that warms up.
    """

    name: str
    vocab_size: int
    step: dict[str, int]
    steps: int


SHAPES = {
    "135M": Shape("smollm2-135m", 49_152, {"hh": 64, "1000:1000": 32}, 3),
    "1.5B": Shape("qwen2.5-1.5b", 151_936, {"hh": 64, "1000:1000": 16}, 2),
    "8B": Shape("llama-3-8b", 128_256, {"hh": 32, "1000:1000": 8}, 2),
}
WORKLOADS = ("hh", "1000:1000")


def pairs(workload: str, number: int, vocab_size: int) -> list[PairIds]:
    """Return pairs: ``hh`` or ``sharegpt`` (lengths of those sets), or PROMPT:ANSWER (+-30 %)."""
    generator = random.Random(0)

    def ids(length: int) -> list[int]:
        return [generator.randrange(10, vocab_size) for _ in range(max(length, 2))]

    if ":" in workload:
        prompt, answer = (int(part) for part in workload.split(":"))
        lengths = [
            [int(mean * generator.uniform(0.7, 1.3)) for mean in (prompt, answer, answer)]
            for _ in range(number)
        ]
    else:
        known = json.loads(_LENGTHS.read_text())[workload]
        lengths = [known[i % len(known)] for i in range(number)]
    return [PairIds(ids(p), ids(c), ids(r)) for p, c, r in lengths]


def row_budget(model: Any) -> int:
    """Return the row budget beside weights, gradients and Adam in bfloat16, as the product has it.

    Args:
        model: of the shape, on any device.
    """
    if not torch.cuda.is_available():
        return 512
    memory = row_memory(model.config, weight_bytes=2, product_bytes=2, checkpointing=False)
    total = torch.cuda.get_device_properties(0).total_memory
    return budget_within(0.97 * total - 8 * model.num_parameters(), memory)
