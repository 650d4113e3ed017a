"""Marked rows as inputs of a dense reward model, in TRL's layout."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tgdpo_core.errors import DataError
from tgdpo_core.marks.responses import MarkedRow
from tgdpo_core.prm.fitting import IGNORED
from tgdpo_core.prm.labels import Target, step_labels
from tgdpo_core.prm.layout import TAG, piecewise, plain_ids

if TYPE_CHECKING:
    import torch

_BATCHES_SORTED_TOGETHER = 16


@dataclass(frozen=True)
class StepInput:
    """One response.

    Attributes:
        ids: question, steps, and the tag behind each.
        positions: where the labels stand: the last token of each tag.
        labels: 1 right, 0 wrong, or IGNORED.
        problem: the prompt.
    """

    ids: Sequence[int]
    positions: Sequence[int]
    labels: Sequence[int]
    problem: str


def step_inputs(
    rows: Sequence[MarkedRow], tokenizer: Any, *, target: Target, max_length: int
) -> tuple[list[StepInput], Counter[str]]:
    """Return the inputs of all responses, and what was cut or left out.

    Steps that do not fit in whole are left out; a response without a label that fits is.

    Args:
        rows: marked rows.
        tokenizer: the reward model's.
        target: what steps count as that nobody judged.
        max_length: most tokens.

    Raises:
        DataError: marks that are no steps.
    """
    tag = plain_ids(tokenizer, TAG)
    counts: Counter[str] = Counter()
    inputs = []
    for row in rows:
        for response in row.responses:
            if response.errors is not None:
                raise DataError(
                    f"{row.where}: the marks are characters, and a reward model of steps learns "
                    "from steps. Use rows with steps."
                )
            texts, labels = step_labels(response, target)
            ids, positions = piecewise(row.prompt.strip(), texts, tokenizer, tag=tag)
            num_whole = sum(position < max_length for position in positions)
            counts["responses_cut"] += num_whole < len(positions)
            if all(label == IGNORED for label in labels[:num_whole]):
                counts["responses_left_out"] += 1
                continue
            end = positions[num_whole - 1] + 1
            inputs.append(
                StepInput(ids[:end], positions[:num_whole], labels[:num_whole], row.prompt.strip())
            )
    return inputs, counts


def split_by_problem(
    inputs: Sequence[StepInput], held_out_share: float, *, seed: int
) -> tuple[list[StepInput], list[StepInput]]:
    """Return inputs to train on and held-out ones; no problem is in both."""
    problems = sorted({each.problem for each in inputs})
    random.Random(f"held out {seed}").shuffle(problems)
    held_out = set(problems[: round(held_out_share * len(problems))])
    return (
        [each for each in inputs if each.problem not in held_out],
        [each for each in inputs if each.problem in held_out],
    )


def batches(
    inputs: Sequence[StepInput], *, batch_size: int, num_epochs: int, seed: int
) -> Iterator[Sequence[StepInput]]:
    """Yield batches of similar length, in another order every epoch."""
    order = random.Random(f"batches {seed}")
    for _ in range(num_epochs):
        shuffled = order.sample(inputs, len(inputs))
        together = batch_size * _BATCHES_SORTED_TOGETHER
        found = [
            some[i : i + batch_size]
            for start in range(0, len(shuffled), together)
            for some in [sorted(shuffled[start : start + together], key=lambda e: len(e.ids))]
            for i in range(0, len(some), batch_size)
        ]
        order.shuffle(found)
        yield from found


def as_tensors(batch: Sequence[StepInput], pad_id: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return ids [S, T] int64 and labels [S, T] float32, padded on the right."""
    import torch

    length = max(len(each.ids) for each in batch)
    ids_ST = torch.full((len(batch), length), pad_id)
    labels_ST = torch.full((len(batch), length), float(IGNORED))
    for row, each in enumerate(batch):
        ids_ST[row, : len(each.ids)] = torch.tensor(each.ids)
        labels_ST[row, list(each.positions)] = torch.tensor(each.labels, dtype=torch.float32)
    return ids_ST, labels_ST
