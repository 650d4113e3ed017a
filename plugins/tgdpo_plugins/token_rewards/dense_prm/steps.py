"""The steps of a response: their text for the reward model, their place for the policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tgdpo_core import Example
from tgdpo_plugins.token_rewards.step_sums import step_ends


@dataclass(frozen=True)
class Steps:
    """A response in steps; a blank response has none.

    Attributes:
        texts: the steps as the reward model reads them, without the space around them.
        ends: where each step ends in ``Example.response``. A step keeps the separator and the
            blank lines behind it; closing marks of a chat template and EOS belong to the last one.
    """

    texts: Sequence[str]
    ends: Sequence[int]


def steps_of(example: Example, separator: str) -> Steps:
    """Return the steps of a response.

    A step that truncation cut is read in whole; steps behind the cut are left out.

    Raises:
        ValueError: the response is not one text, or a chat template rewrote it.
    """
    start, content = example.content()
    num_chars = len(example.response)
    pieces = pairwise([0, *step_ends(content, separator)])
    # What is blank belongs to the step in front of it.
    begins = [a for a, b in pieces if content[a:b].strip()]
    steps = [(a, b) for a, b in pairwise([*begins, len(content)]) if start + a < num_chars]
    return Steps(
        texts=[content[a:b].strip() for a, b in steps],
        ends=[*(start + b for _, b in steps[:-1]), num_chars][: len(steps)],
    )
