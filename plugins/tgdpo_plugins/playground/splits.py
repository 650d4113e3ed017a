"""The splits of a world's pairs: which files there are, and what is computed from them."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tgdpo_plugins.playground.task import OPERATORS

FLIPPED_SHARE = 0.2
NUM_SELECTION = 300

Row = dict[str, Any]


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


def with_noise(row: Row) -> Row:
    """Return the row, chosen and rejected exchanged with probability ``FLIPPED_SHARE``.

    The prompt alone decides, so a row is flipped or not wherever it stands.
    """
    # A string seeds by its SHA-512, whatever PYTHONHASHSEED is.
    is_flipped = random.Random(f"flip {row['prompt']}").random() < FLIPPED_SHARE
    return swapped(row) if is_flipped else row


def swapped(row: Row) -> Row:
    """Return the row, chosen and rejected exchanged."""
    return {
        "prompt": row["prompt"],
        "chosen": row["rejected"],
        "rejected": row["chosen"],
        "chosen_errors": row["rejected_errors"],
        "rejected_errors": row["chosen_errors"],
    }


@dataclass(frozen=True)
class ComputedSplit:
    """A split that is made of the rows of another one.

    Attributes:
        source: the split that is a file.
        rows_of: its rows to those of this split.
    """

    source: str
    rows_of: Callable[[Sequence[Row]], Sequence[Row]]


def _part(number: int, *, of: int) -> Callable[[Sequence[Row]], Sequence[Row]]:
    """Return what takes one of several equal parts of the rows."""
    return lambda rows: rows[number::of]


COMPUTED_SPLITS = {
    "train-noisy": ComputedSplit("train", lambda rows: [with_noise(row) for row in rows]),
    "train-swapped": ComputedSplit("train", lambda rows: [swapped(row) for row in rows]),
    **{f"train-{name}": ComputedSplit("train", _part(i, of=2)) for i, name in enumerate("ab")},
    **{f"other-{name}": ComputedSplit("other", _part(i, of=4)) for i, name in enumerate("abcd")},
    "selection": ComputedSplit("other", lambda rows: rows[:NUM_SELECTION]),
}
"""Noisy: a share of ``FLIPPED_SHARE`` of the labels is wrong. Swapped: all are, so that fine-tuning
on what is chosen is fine-tuning on what was rejected. Halves and quarters share no row. Selection:
settings are chosen on it, and what was chosen is reported on ``test``."""

ALL_SPLITS = (*SPLITS, *COMPUTED_SPLITS)
