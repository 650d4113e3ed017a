"""Special tokens that stand in the text of a row: found, and made ordinary text where they are.

A tokenizer takes ``</s>`` in a text for the token, whoever wrote it. Here a text comes with the
ranges that a user wrote; in these a special token is what the tokenizer makes of its characters.
"""

import json
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from tgdpo_core.data.report import RowProblem

_Array = np.ndarray[Any, Any]
_STAND_IN = 0x100000  # private use plane 16: one character for each special token


class Span(NamedTuple):
    """A character range of a text."""

    start: int
    end: int


class ModelText(NamedTuple):
    """A text on its way to a model.

    Attributes:
        text: as the model sees it.
        user: the ranges in which special tokens are ordinary text.
        changes: what was done to it, for counting.
    """

    text: str
    user: Sequence[Span] = ()
    changes: frozenset[str] = frozenset()


class SpecialTokens:
    """The special tokens of a fast tokenizer.

    Args:
        tokenizer: of transformers, with ``backend_tokenizer``.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        flagged = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
        self.names = {name for name in flagged | {*tokenizer.all_special_tokens} if name.strip()}
        longest_first = sorted(self.names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self.bos: str | None = tokenizer.bos_token
        self.eos: str = tokenizer.eos_token

    def find(self, text: str) -> list[Span]:
        """Return where special tokens stand in a text."""
        return [Span(*match.span()) for match in self._pattern.finditer(text)]

    def leading_bos(self, text: str) -> int:
        """Return the length of the BOS that a text begins with, 0 without one."""
        return len(self.bos) if self.bos and text.startswith(self.bos) else 0

    def trailing_eos(self, text: str) -> int:
        """Return the length of the end of a text that is EOS and white space, 0 without EOS."""
        stripped = text.rstrip()
        ends = stripped.endswith(self.eos)
        return len(text) - len(stripped) + len(self.eos) if ends else 0

    def encode(self, source: ModelText, *, add_special_tokens: bool) -> tuple[_Array, _Array]:
        """Return ids [T] and offsets [T, 2], int64, of a text with the user's ranges as text.

        Each special token outside these ranges is replaced by one character that stands for it in
        a copy of the tokenizer; to that copy the user's are not special. So the text is tokenized
        in one piece, as it would be if nobody had given those characters a meaning.

        Raises:
            RowProblem: the tokenizer makes a special token of its characters in any case.
        """
        tokenizer, ids_of_added = self._stand_ins
        masked, positions = self._masked(source)
        encoding = tokenizer.encode(masked, add_special_tokens=add_special_tokens)
        ids, special = [], self._ids_never_text
        for id_, added in zip(encoding.ids, encoding.special_tokens_mask, strict=True):
            if not added and id_ not in ids_of_added and id_ in special:
                raise RowProblem(
                    "special_token_in_text",
                    f"the tokenizer makes the special token {tokenizer.id_to_token(id_)!r} of the "
                    "row's text in any case. Take it out, or set data.special_tokens=keep",
                )
            ids.append(id_ if added else ids_of_added.get(id_, id_))
        offsets = positions[np.asarray(encoding.offsets, np.int64).reshape(-1, 2)]
        return np.asarray(ids, np.int64), offsets

    @cached_property
    def _ids_never_text(self) -> set[int]:
        ids = {int(self._tokenizer.convert_tokens_to_ids(name)) for name in self.names}
        return ids - {self._tokenizer.unk_token_id}

    @cached_property
    def _stand_in_of(self) -> dict[str, str]:
        """The character that stands for each special token."""
        return {name: chr(_STAND_IN + i) for i, name in enumerate(sorted(self.names))}

    @cached_property
    def _stand_ins(self) -> tuple[Any, dict[int, int]]:
        """The copy of the tokenizer, and what the ids of its added tokens are in the original."""
        from tokenizers import Tokenizer

        state = json.loads(self._tokenizer.backend_tokenizer.to_str())
        ids = {}
        for token in state["added_tokens"]:
            if token["content"] in self.names:
                stand_in = self._stand_in_of[token["content"]]
                token.update(content=stand_in, normalized=False, single_word=False)
            ids[token["content"]] = int(token["id"])
        copy = Tokenizer.from_str(json.dumps(state))
        copy.no_truncation()
        copy.no_padding()
        ids_of_copy = {content: copy.token_to_id(content) for content in ids}
        return copy, {new: ids[content] for content, new in ids_of_copy.items() if new is not None}

    def _masked(self, source: ModelText) -> tuple[str, _Array]:
        """Return the text with stand-ins, and where each of its characters is in the original."""
        if any(ord(char) >= _STAND_IN for char in source.text):
            raise RowProblem(
                "special_token_in_text",
                "the text holds both a special token and a character of the last private plane of "
                "Unicode, which stands for one here. Take one of them out",
            )
        parts: list[str] = []
        positions: list[int] = []
        done = 0
        for start, end in self._of_the_layout(source):
            parts += [source.text[done:start], self._stand_in_of[source.text[start:end]]]
            positions += [*range(done, start), start]
            done = end
        parts.append(source.text[done:])
        positions += range(done, len(source.text) + 1)
        return "".join(parts), np.asarray(positions, np.int64)

    def _of_the_layout(self, source: ModelText) -> Iterator[Span]:
        """Yield the special tokens that no user wrote."""
        for found in self.find(source.text):
            if not any(found.start < user.end and user.start < found.end for user in source.user):
                yield found


def plain_text(
    prompt: str, response: str | None, tokens: SpecialTokens, rule: str, turn_mark: str | None
) -> ModelText:
    """Return a text row as the model sees it; its special tokens are what the rule says.

    A BOS at its beginning and an EOS at its end are those tokens, unless the rule is ``text``.

    Args:
        prompt: text of the prompt.
        response: text of the response, or None for the prompt alone.
        tokens: of the tokenizer.
        rule: ``data.special_tokens``.
        turn_mark: what the chat template writes between a question and its answer, if known.

    Raises:
        RowProblem: the rule is ``error`` and there is one, or it is ``auto`` and the row looks like
            a dialogue that was rendered already.
    """
    text = prompt + (response or "")
    found = tokens.find(text)
    if not found or rule == "keep":
        return ModelText(text)
    if rule == "text":
        return ModelText(text, [Span(0, len(text))])
    head = tokens.leading_bos(text)
    tail = tokens.trailing_eos(response) if response else 0
    user = Span(head, len(text) - tail)
    inner = [span for span in found if user.start <= span.start and span.end <= user.end]
    if inner and rule == "error":
        _refuse(text, inner[0], "data.special_tokens is error")
    if rule == "auto":
        mark = _rendered_mark(prompt, response, tokens, turn_mark, head, tail)
        if mark:
            _refuse_rendered(mark)
    return ModelText(text, [user] if inner else ())


def _rendered_mark(
    prompt: str,
    response: str | None,
    tokens: SpecialTokens,
    turn_mark: str | None,
    head: int,
    tail: int,
) -> str | None:
    """Return the mark by which a row looks like a rendered dialogue, or None."""
    body = prompt.strip()
    marks = tokens.find(body)
    begins = bool(marks) and marks[0].start == 0
    if begins and (not head or len(marks) > 1):
        return body[slice(*marks[0])]
    if marks and marks[-1].end == len(body) and len(body) > head:
        return body[slice(*marks[-1])]
    if turn_mark and turn_mark.strip() in prompt:
        return turn_mark.strip()
    end = (response or "").rstrip()
    last = tokens.find(end)
    if not tail and last and last[-1].end == len(end):
        return end[slice(*last[-1])]
    return None


def _refuse_rendered(mark: str) -> None:
    raise RowProblem(
        "rendered_already",
        f"the text looks like a dialogue that was rendered already: it holds the mark {mark!r}. "
        "Set data.special_tokens=keep to take the special tokens in the rows as such, or =text to "
        "take them as ordinary text; or give messages in place of text",
    )


def _refuse(text: str, span: Span, why: str) -> None:
    raise RowProblem(
        "special_token_in_text",
        f"the text holds the special token {text[slice(*span)]!r} and {why}",
    )


def refuse_in_messages(contents: Sequence[str], tokens: SpecialTokens) -> None:
    """Raise ``RowProblem`` for a special token in contents: the rule ``error``."""
    for content in contents:
        for span in tokens.find(content):
            _refuse(content, span, "data.special_tokens is error")
