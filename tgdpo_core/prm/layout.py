"""How a dense reward model of steps reads: TRL's layout of stepwise supervision."""

from collections.abc import Sequence
from typing import Any

TAG = "\n"
"""What ends a step for models in TRL's layout; its last token is labelled and read."""


def piecewise(
    question: str, steps: Sequence[str], tokenizer: Any, *, tag: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return the ids of question and steps, the tag behind each step, and the tags' last places.

    Every piece is tokenized alone; BOS stands in front where the tokenizer has one.

    Args:
        question: the prompt.
        steps: without the space around them.
        tokenizer: the reward model's.
        tag: ids that end a step.
    """
    ids = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    ids += plain_ids(tokenizer, question)
    positions = []
    for step in steps:
        ids += [*plain_ids(tokenizer, step), *tag]
        positions.append(len(ids) - 1)
    return ids, positions


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    """Return the ids of a text without special tokens."""
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
