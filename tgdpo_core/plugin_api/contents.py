"""Where the content of a response stands in the text that is trained: templates add marks."""

from collections.abc import Mapping, Sequence
from typing import Any


class NoContent(ValueError):
    """A response is not one text, or a chat template rewrote it."""


def content_in(text: str, raw: Any, *, is_cut: bool) -> tuple[int, str]:
    """Return where the content of a response begins in a text, and all of it, also what was cut.

    Args:
        text: as trained: closing marks included, and perhaps truncated.
        raw: the response as the data set has it: text, or a list with one message.
        is_cut: whether ``text`` was truncated.

    Raises:
        NoContent: several messages, content that is no text, or content that is not in the text.
    """
    said = _raw_text(raw)
    for content in (said, said.strip()):  # templates may strip a message
        start = text.find(content)
        if start < 0 and is_cut:
            start = _cut_start(content, text)
        if start >= 0:
            return start, content
    raise NoContent(
        f"the policy's chat template rewrites the response {text[:40]!r}, so its parts cannot be "
        "found in it. Use pairs of plain text, or another chat template"
    )


def _cut_start(content: str, text: str) -> int:
    """Return where the beginning of a content ends a text that was cut there, or -1."""
    return next((i for i in range(len(text)) if content.startswith(text[i:])), -1)


def _raw_text(raw: Any) -> str:
    if isinstance(raw, str):
        return raw
    messages: Sequence[Mapping[str, Any]] = raw
    if len(messages) != 1 or not isinstance(messages[0].get("content"), str):
        raise NoContent(
            f"a response of {len(messages)} messages, or not of text: only the parts of one "
            "assistant message have a place in it. Use such rows, or a reward that reads every "
            "token (token-head, sequence-reward)"
        )
    return str(messages[0]["content"])
