"""The steps of a response: their text for the reward model, their place for the policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

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
    start, content = _content(example)
    num_chars = len(example.response)
    pieces = pairwise([0, *step_ends(content, separator)])
    # What is blank belongs to the step in front of it.
    begins = [a for a, b in pieces if content[a:b].strip()]
    steps = [(a, b) for a, b in pairwise([*begins, len(content)]) if start + a < num_chars]
    return Steps(
        texts=[content[a:b].strip() for a, b in steps],
        ends=[*(start + b for _, b in steps[:-1]), num_chars][: len(steps)],
    )


def _content(example: Example) -> tuple[int, str]:
    """Return where the content begins in the response, and all of it, also what was cut off."""
    said = _raw_text(example.raw_response)
    is_cut = len(example.response_ids) < example.num_untruncated
    for content in (said, said.strip()):  # templates may strip a message
        start = example.response.find(content)
        if start < 0 and is_cut:
            start = _cut_start(content, example.response)
        if start >= 0:
            return start, content
    raise ValueError(
        f"the policy's chat template rewrites the response {example.response[:40]!r}, so its steps "
        "cannot be found in it. Use pairs of plain text, or another chat template"
    )


def _cut_start(content: str, response: str) -> int:
    """Return where the beginning of a content ends a response that was cut there, or -1."""
    places = range(len(response))
    return next((i for i in places if content.startswith(response[i:])), -1)


def _raw_text(raw: Any) -> str:
    if isinstance(raw, str):
        return raw
    messages: Sequence[Mapping[str, Any]] = raw
    if len(messages) != 1 or not isinstance(messages[0].get("content"), str):
        raise ValueError(
            f"a response of {len(messages)} messages, or not of text: steps are those of one "
            "assistant message. Use such rows, or a preset that reads every token (token-head, "
            "sequence-reward)"
        )
    return str(messages[0]["content"])
