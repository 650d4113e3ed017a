"""Pairs with the lengths of real data (random ids: the card does not read them), and the shapes."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import torch

from tgdpo_core.engine.rows import PairIds

_LENGTHS = Path(__file__).with_name("lengths.json")


@dataclass(frozen=True)
class Shape:
    """A model that is measured.

    Attributes:
        name: in ``benchmarks.workload.SHAPES``.
        vocab_size: of the real model.
        step: pairs of an optimizer step.
        steps: measured ones, after one that warms up.
        row_gib: memory that 1024 tokens of a row take in activations, to choose a row budget.
    """

    name: str
    vocab_size: int
    step: int
    steps: int
    row_gib: float


SHAPES = {
    "135M": Shape("smollm2-135m", 49_152, 64, 3, 1.0),
    "1.5B": Shape("qwen2.5-1.5b", 151_936, 32, 3, 4.0),
    "8B": Shape("llama-3-8b", 128_256, 16, 2, 9.0),
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


def row_budget(shape: Shape, parameters: float) -> int:
    """Return tokens of a row that leave room for weights, gradients and Adam in bfloat16."""
    if not torch.cuda.is_available():
        return 512
    free = torch.cuda.get_device_properties(0).total_memory / 2**30 * 0.9 - parameters * 8 / 2**30
    thousands = int(0.7 * free / shape.row_gib)
    return 1024 * min(max(thousands, 1), 32)
