"""The splits of a world's pairs: which files there are, and what is computed from them."""

import random
from dataclasses import dataclass
from typing import Any

from tgdpo_plugins.playground.task import OPERATORS

FLIPPED_SHARE = 0.2
NOISY_SPLITS = {"train-noisy": "train"}
"""Splits that are computed: the rows of another one, with ``FLIPPED_SHARE`` of the labels wrong."""


@dataclass(frozen=True)
class Split:
    """A split that is a file.

    Attributes:
        num_pairs: how many rows it has.
        file_name: its file in ``data/``.
        operators: the operators that its prompts are drawn from.
    """

    num_pairs: int
    file_name: str
    operators: tuple[str, ...] = OPERATORS


SPLITS = {
    "train": Split(400, "train.jsonl"),
    "test": Split(300, "test.jsonl"),
    "other": Split(1600, "other.jsonl.gz"),
    "train-add-sub": Split(400, "train-add-sub.jsonl.gz", operators=("+", "-")),
    "test-add-sub": Split(300, "test-add-sub.jsonl.gz", operators=("+", "-")),
    "test-times": Split(300, "test-times.jsonl.gz", operators=("*",)),
}
"""In the order in which they are made. No prompt is in two of them."""


def with_noise(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row, chosen and rejected exchanged with probability ``FLIPPED_SHARE``.

    The prompt alone decides, so a row is flipped or not wherever it stands.
    """
    # A string seeds by its SHA-512, whatever PYTHONHASHSEED is.
    if random.Random(f"flip {row['prompt']}").random() >= FLIPPED_SHARE:
        return row
    return {
        "prompt": row["prompt"],
        "chosen": row["rejected"],
        "rejected": row["chosen"],
        "chosen_errors": row["rejected_errors"],
        "rejected_errors": row["chosen_errors"],
    }
