"""What a dense reward model of the playground may learn from: the labels of rollouts.

Only ``steps`` and ``solved`` ask the checker. ``outcome`` and ``monte-carlo`` know the answer key,
one digit a prompt, and ``self-consistency`` knows nothing but the model's own answers. All labels
stand on the last tokens of a rollout, EOS included; a label is the probability of being good.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from tgdpo_core.prm import IGNORED
from tgdpo_plugins.playground.rollouts import Rollout
from tgdpo_plugins.playground.task import (
    Label,
    split_pieces,
    stated_result,
    step_ends,
    true_result,
)

Target = Literal[
    "steps",
    "solved",
    "outcome",
    "monte-carlo",
    "monte-carlo-progress",
    "self-consistency",
    "self-consistency-progress",
]

NUM_CONTINUATIONS = 8  # of every beginning of an answer
NUM_VOTES = 16  # answers that elect the result of a prompt

Results = Mapping[str, Sequence[str | None]]
"""A text to the results that the model came to from there, None where it came to none."""
Continue = Callable[[Sequence[str], int], Results]
"""Samples that many continuations of each text."""


def labels_for(
    target: Target, rollouts: Sequence[Rollout], continue_: Continue
) -> list[list[float]]:
    """Return the labels of every rollout.

    steps             0 at an error, 1 at what is right or free
    solved            1 everywhere if every step is right, else 0
    outcome           1 everywhere if the last digit is that of the answer key, else 0
    monte-carlo       the share of continuations that come to the digit of the answer key
    self-consistency  the share of continuations that come to the digit that most answers to the
                      prompt come to
    ...-progress      what part of that share, as it was before the step, is left behind it

    Args:
        target: which labels.
        rollouts: what to label.
        continue_: the base model; asked for the last four only.
    """
    if target == "steps":
        return [step_labels(rollout) for rollout in rollouts]
    if target == "solved":
        return [answer_labels(rollout, rollout.verdict.solved) for rollout in rollouts]
    if target == "outcome":
        return [
            answer_labels(rollout, stated_result(rollout.response) == true_result(rollout.prompt))
            for rollout in rollouts
        ]
    keys: list[str | None]
    if target.startswith("monte-carlo"):
        keys = [true_result(rollout.prompt) for rollout in rollouts]
    else:
        votes = continue_([rollout.prompt for rollout in rollouts], NUM_VOTES)
        keys = [elected(votes[rollout.prompt]) for rollout in rollouts]
    texts = dict.fromkeys(text for rollout in rollouts for text in beginnings(rollout))
    trials = continue_(list(texts), NUM_CONTINUATIONS)
    label = progress_labels if target.endswith("progress") else value_labels
    return [
        label(rollout, chances(rollout, trials, key))
        for rollout, key in zip(rollouts, keys, strict=True)
    ]


def step_labels(rollout: Rollout) -> list[float]:
    """Return what the checker says; IGNORED behind a broken form, where it has no opinion."""
    other_than_good = {Label.ERROR: 0.0, Label.AFTER_BREAK: float(IGNORED)}
    return [other_than_good.get(label, 1.0) for label in rollout.verdict.labels]


def answer_labels(rollout: Rollout, is_good: bool) -> list[float]:
    """Return one label everywhere: what a value model learns.

    The prompt's last token has it too; its value is that of the prompt.
    """
    return [float(is_good)] * (len(split_pieces(rollout.response)) + 2)


def beginnings(rollout: Rollout) -> list[str]:
    """Return the prompt, and the prompt with the answer up to the end of each step but the last."""
    ends = itertools.accumulate(_parts(rollout)[:-1], initial=0)
    pieces = split_pieces(rollout.response)
    return [rollout.prompt + "".join(pieces[:end]) for end in ends]


def elected(results: Sequence[str | None]) -> str | None:
    """Return the most frequent result, of several the one that came first; None without any."""
    votes = Counter(result for result in results if result is not None)
    return votes.most_common(1)[0][0] if votes else None


def chances(rollout: Rollout, trials: Results, key: str | None) -> list[float]:
    """Return the chances of coming to the result ``key``: before each part, and at the end.

    They are the shares of trials that succeed from the beginnings of the answer. At its end nothing
    is left to try: 1 if the answer came to ``key``, else 0.
    """
    results = [*(trials[text] for text in beginnings(rollout)), [stated_result(rollout.response)]]
    return [sum(r is not None and r == key for r in some) / len(some) for some in results]


def value_labels(rollout: Rollout, values: Sequence[float]) -> list[float]:
    """Return the chances as they are behind the step that a token belongs to.

    On average over what may follow, that is the value of every token of the step, so nothing has to
    be sampled inside steps. The prompt's last token has the chances before the first step.

    Args:
        rollout: what to label.
        values: ``chances(rollout, ...)``.
    """
    return [values[0], *_on_parts(rollout, values[1:])]


def progress_labels(rollout: Rollout, values: Sequence[float]) -> list[float]:
    """Return the part of the chances that a token's step left: after / before, 1 at most.

    It depends on the step alone, where a value depends on all that came before and may come, so it
    is learnt from far fewer rollouts. Without chances before, nothing is known: IGNORED.

    Args:
        rollout: what to label.
        values: ``chances(rollout, ...)``.
    """
    steps = itertools.pairwise(values)
    kept = [min(1.0, after / before) if before else float(IGNORED) for before, after in steps]
    return _on_parts(rollout, kept)


def _on_parts(rollout: Rollout, labels: Sequence[float]) -> list[float]:
    """Return the label of each part at all of its tokens."""
    parts = zip(labels, _parts(rollout), strict=True)
    return [label for label, length in parts for _ in range(length)]


def _parts(rollout: Rollout) -> list[int]:
    """Return how many tokens each step of an answer has; EOS belongs to the last one."""
    pieces = split_pieces(rollout.response)
    ends = [0, *step_ends(pieces)[:-1], len(pieces) + 1]
    return [end - start for start, end in itertools.pairwise(ends)]
