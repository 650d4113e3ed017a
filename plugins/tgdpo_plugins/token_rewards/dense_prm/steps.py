"""The steps of a response: their text for the reward model, their place for the policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tgdpo_core import Example
from tgdpo_plugins.token_rewards.step_sums import step_ends


@dataclass(frozen=True)
class Steps:
    """A response in steps.

    Attributes:
        texts: the steps as the reward model reads them, without the space around them.
        ends: where each step ends in ``Example.response``. A step keeps the separator behind it;
            closing marks of a chat template and EOS belong to the last one.
    """

    texts: Sequence[str]
    ends: Sequence[int]


def steps_of(example: Example, separator: str) -> Steps:
    """Return the steps of a response.

    Raises:
        ValueError: the response is not one text, or a chat template rewrote it.
    """
    start, content = _content(example)
    ends = step_ends(content, separator)
    texts = [content[a:b].strip() for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    return Steps(texts, [*(start + end for end in ends[:-1]), len(example.response)])


def messages_of(prompt: Any, system: str | None = None) -> list[dict[str, Any]]:
    """Return a prompt as chat messages; ``system`` goes in front if it brings none."""
    if isinstance(prompt, str):
        messages: list[dict[str, Any]] = [{"role": "user", "content": prompt.strip()}]
    else:
        messages = [dict(message) for message in prompt]
    if system and messages[0].get("role") != "system":
        return [{"role": "system", "content": system}, *messages]
    return messages


def text_of(prompt: Any) -> str:
    """Return a prompt as one text."""
    if isinstance(prompt, str):
        return prompt
    return "\n".join(str(message["content"]) for message in prompt)


def _content(example: Example) -> tuple[int, str]:
    """Return what the response says, without closing marks, and where it begins."""
    said = _raw_text(example.raw_response)
    for content in (said, said.strip()):
        start = example.response.find(content)
        if start >= 0:
            return start, content
    cut = (i for i in range(len(example.response)) if said.startswith(example.response[i:]))
    start = next(cut, -1)
    if start < 0:
        raise ValueError(
            "the policy's chat template rewrites the response, so its steps cannot be found in it; "
            "use pairs of plain text"
        )
    return start, example.response[start:]


def _raw_text(raw: Any) -> str:
    if isinstance(raw, str):
        return raw
    messages: Sequence[Mapping[str, Any]] = raw
    if len(messages) != 1 or not isinstance(messages[0].get("content"), str):
        raise ValueError("dense-prm reads responses of one assistant message of text")
    return str(messages[0]["content"])
