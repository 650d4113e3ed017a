"""Marked steps as labels of a dense reward model: 1 right, 0 wrong, IGNORED unknown."""

from collections.abc import Sequence
from typing import Literal

from tgdpo_core.marks.responses import MarkedResponse
from tgdpo_core.prm.fitting import IGNORED

Target = Literal["unknown", "wrong", "right"]
TARGETS: tuple[Target, ...] = ("unknown", "wrong", "right")


def step_labels(response: MarkedResponse, target: Target) -> tuple[list[str], list[int]]:
    """Return the steps of a response and a label for each; blank steps join the one before them.

    A step that nobody judged is one behind a first error that was marked alone: it counts as
    ``target`` says. A joined step is wrong if a part is, unknown if no part is wrong and one is
    unknown.

    Args:
        response: with steps.
        target: ``unknown``, ``wrong`` or ``right``.
    """
    behind = {"unknown": IGNORED, "wrong": 0, "right": 1}[target]
    texts: list[str] = []
    labels: list[int] = []
    for text, wrong in zip(response.step_texts(), response.is_wrong, strict=True):
        label = behind if wrong is None else int(not wrong)
        if text or not texts:
            texts.append(text)
            labels.append(label)
        else:
            labels[-1] = _joined(labels[-1], label)
    if texts and not texts[0]:  # blank at the very beginning
        first, labels = labels[0], labels[1:]
        texts = texts[1:]
        labels[:1] = [_joined(first, label) for label in labels[:1]]
    return texts, labels


def _joined(a: int, b: int) -> int:
    return 0 if 0 in (a, b) else IGNORED if IGNORED in (a, b) else 1


def num_right_and_wrong(labels: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Return how many labels are 1 and how many are 0."""
    flat = [label for some in labels for label in some]
    return flat.count(1), flat.count(0)
