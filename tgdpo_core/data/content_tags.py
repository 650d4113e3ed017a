"""Where the contents of messages stand in a rendered dialogue, and whether all of them do.

A copy of the messages, in which invisible tags enclose every content, is rendered beside them.
Without its tags the copy must give the same text; then the tags say what became of each content.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tgdpo_core.data.special_tokens import Span

# Noncharacters: Unicode gives them to programs for their own use, and no text should hold them.
_START, _END, _DIGITS = "\ufdd0", "\ufdd1", [chr(i) for i in range(0xFDD2, 0xFDEC)]
_RESERVED = re.compile("[\ufdd0-\ufdef]")
_TAG = re.compile(f"([{_START}{_END}])([{_DIGITS[0]}-{_DIGITS[-1]}]{{3}})")
_REASONING = ("reasoning_content", "thinking", "reasoning")
_SPACE = re.compile(r"\s+")

What = Literal["content", "reasoning", "tool call", "tool"]


@dataclass(frozen=True)
class Content:
    """A string that a user wrote.

    Attributes:
        text: without white space around it.
        message: index of its message, -1 for tools.
        what: its part in the message.
    """

    text: str
    message: int
    what: What


class Tagged:
    """Messages and tools whose contents are enclosed in tags.

    Attributes:
        messages: the tagged copy.
        tools: the tagged copy, or None.
        contents: what was tagged, in order.
        is_tagged: false where a content holds a character that tags are made of.
    """

    def __init__(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None) -> None:
        self.contents: list[Content] = []
        self.is_tagged = True
        self.messages = [self._message(i, message) for i, message in enumerate(messages)]
        self.tools = None if tools is None else [self._tool(tool) for tool in tools]

    def found_in(self, rendered: str, text: str) -> "FoundContents":
        """Return what became of the contents.

        Args:
            rendered: the tagged copy, rendered.
            text: the messages themselves, rendered.
        """
        return FoundContents(self.contents, rendered if self.is_tagged else text, text)

    def _message(self, index: int, message: Mapping[str, Any]) -> dict[str, Any]:
        tagged = dict(message)
        for key, value in message.items():
            if key == "content":
                tagged[key] = self._body(value, index)
            elif key in _REASONING and isinstance(value, str):
                tagged[key] = self._tag(value, index, "reasoning")
            elif key == "tool_calls" and isinstance(value, list | tuple):
                tagged[key] = [self._leaves(call, index, "tool call") for call in value]
        return tagged

    def _body(self, value: Any, index: int) -> Any:
        if isinstance(value, str):
            return self._text(value, index)
        if isinstance(value, list | tuple):
            return [
                {**part, "text": self._text(part["text"], index)}
                if isinstance(part, Mapping) and isinstance(part.get("text"), str)
                else part
                for part in value
            ]
        return value

    def _text(self, text: str, index: int) -> str:
        """Tag a text; a block of reasoning in front apart, as templates treat it apart."""
        head, mark, answer = text.partition("</think>")
        if not mark:
            return self._tag(text, index, "content")
        before, opening, thought = head.rpartition("<think>")
        reasoning = self._tag(thought, index, "reasoning")
        return f"{before}{opening}{reasoning}{mark}{self._tag(answer, index, 'content')}"

    def _leaves(self, value: Any, index: int, what: What, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {k: self._leaves(v, index, what, k) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._leaves(item, index, what, key) for item in value]
        if isinstance(value, str) and key not in ("type", "id"):
            return self._tag(value, index, what)
        return value

    def _tool(self, tool: Any) -> Any:
        """Tag the name of a tool; what else describes it a template may leave out."""
        if not isinstance(tool, Mapping):
            return tool
        inner = tool.get("function", tool)
        if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
            return tool
        named = {**inner, "name": self._tag(inner["name"], -1, "tool")}
        return {**tool, "function": named} if "function" in tool else named

    def _tag(self, text: str, index: int, what: What) -> str:
        core = text.strip()
        if _RESERVED.search(text) or len(self.contents) >= len(_DIGITS) ** 3:
            self.is_tagged = False
        if not core:
            return text
        code = _code(len(self.contents))
        self.contents.append(Content(core, index, what))
        lead = text[: len(text) - len(text.lstrip())]
        tail = text[len(text.rstrip()) :]
        return f"{lead}{_START}{code}{core}{_END}{code}{tail}"


class FoundContents:
    """What became of tagged contents in a rendered text.

    Args:
        contents: what was tagged.
        rendered: with tags.
        text: without.

    Attributes:
        contents: what was tagged.
        is_exact: whether the tags changed nothing, so that they can be believed.
    """

    def __init__(self, contents: Sequence[Content], rendered: str, text: str) -> None:
        self.contents = contents
        self._text = text
        self._at: dict[tuple[str, int], list[int]] = {}
        removed = 0
        for match in _TAG.finditer(rendered):
            key = match[1], _number(match[2])
            self._at.setdefault(key, []).append(match.start() - removed)
            removed += len(match[0])
        self.is_exact = bool(self._at or not contents) and _TAG.sub("", rendered) == text

    def spans(self) -> list[Span] | None:
        """Return where the contents stand, or None if that cannot be told."""
        if not self.is_exact:
            return None
        spans = []
        for i in range(len(self.contents)):
            starts, ends = self._at.get((_START, i), []), self._at.get((_END, i), [])
            if len(starts) != len(ends):
                return None
            spans += [Span(*pair) for pair in zip(starts, ends, strict=True)]
        return sorted(spans)

    def lost(self) -> list[Content]:
        """Return the contents that the text does not hold; white space does not count."""
        squeezed = None
        lost = []
        for i, content in enumerate(self.contents):
            tags = ((_START, i) in self._at) + ((_END, i) in self._at)
            if self.is_exact and tags != 1:
                is_lost = tags == 0
            else:
                squeezed = squeezed or _SPACE.sub("", self._text)
                is_lost = _SPACE.sub("", content.text) not in squeezed
            if is_lost:
                lost.append(content)
        return lost


def _code(number: int) -> str:
    base = len(_DIGITS)
    digits = number // base**2 % base, number // base % base, number % base
    return "".join(_DIGITS[i] for i in digits)


def _number(code: str) -> int:
    base = len(_DIGITS)
    a, b, c = (ord(char) - ord(_DIGITS[0]) for char in code)
    return (a * base + b) * base + c
