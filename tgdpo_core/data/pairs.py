"""The two forms of a preference pair: as written, and as trained."""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tgdpo_core.plugin_api.rewards import Example, Side, SpecialTokensInText

Message = Mapping[str, Any]
Text = str | Sequence[Message]

SIDES: tuple[Side, Side] = ("chosen", "rejected")


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """A prompt with a preferred and a less preferred response.

    Attributes:
        prompt: text, or a list of messages (``role``, ``content``).
        chosen: the preferred response in the same form.
        rejected: the other response.
        where: file and row, for messages.
        columns: the other columns of the row.
        tools: tool descriptions for the chat template, or None.
        template_kwargs: further variables of the chat template.
        special_tokens: what special tokens written in the row's own text are.
        may_lose_text: whether a chat template may leave out a part of the row.
        chosen_finished: whether the chosen response ends: False: nothing that ends one is added.
        rejected_finished: the same of the other response.
    """

    prompt: Text
    chosen: Text
    rejected: Text
    where: str
    columns: Mapping[str, Any] = field(default_factory=dict)
    tools: Sequence[Any] | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    special_tokens: SpecialTokensInText = "auto"
    may_lose_text: bool = False
    chosen_finished: bool = True
    rejected_finished: bool = True

    @property
    def is_chat(self) -> bool:
        """Whether the pair is made of messages."""
        return not isinstance(self.prompt, str)

    def response(self, side: Side) -> Text:
        """Return the response of a side."""
        return self.chosen if side == "chosen" else self.rejected

    def is_finished(self, side: Side) -> bool:
        """Return whether the response of a side ends."""
        return self.chosen_finished if side == "chosen" else self.rejected_finished

    @property
    def unfinished(self) -> tuple[Side, ...]:
        """The sides whose responses do not end."""
        return tuple(side for side in SIDES if not self.is_finished(side))


@dataclass(frozen=True, slots=True)
class TokenizedResponse:
    """A response as it is trained.

    Attributes:
        ids: [T] int64 token ids, EOS included unless truncated or unfinished.
        offsets: [T, 2] int64 character ranges of ``text``.
        text: exactly the text that ``ids`` covers.
        num_untruncated: T before truncation.
    """

    ids: np.ndarray[Any, Any]
    offsets: np.ndarray[Any, Any]
    text: str
    num_untruncated: int


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """A pair as it is trained; chosen and rejected share the prompt's ids."""

    pair: PreferencePair
    prompt_ids: np.ndarray[Any, Any]
    chosen: TokenizedResponse
    rejected: TokenizedResponse

    def response(self, side: Side) -> TokenizedResponse:
        """Return the response of a side."""
        return self.chosen if side == "chosen" else self.rejected

    @property
    def num_response_tokens(self) -> int:
        """Length of this pair's part of every flat per-token vector: chosen, then rejected."""
        return len(self.chosen.ids) + len(self.rejected.ids)

    def ids_hash(self) -> bytes:
        """Return 16 bytes that name the token ids of prompt, chosen and rejected."""
        digest = hashlib.blake2b(digest_size=16)
        for ids in (self.prompt_ids, self.chosen.ids, self.rejected.ids):
            digest.update(len(ids).to_bytes(8, "little"))
            digest.update(np.ascontiguousarray(ids, dtype="<i8").tobytes())
        return digest.digest()

    def example(
        self,
        side: Side,
        *,
        columns: Mapping[str, Any] | None = None,
        shared: Mapping[str, Any] | None = None,
    ) -> Example:
        """Return one response in the form that plugins see.

        It is theirs: what they do to it reaches neither the pair nor another plugin.
        """
        response = self.response(side)
        return Example(
            uid=response_uid(self.pair, side),
            side=side,
            prompt=copy.deepcopy(self.pair.prompt),
            response=response.text,
            prompt_ids=tuple(self.prompt_ids.tolist()),
            response_ids=tuple(response.ids.tolist()),
            offsets=tuple((int(a), int(b)) for a, b in response.offsets),
            num_untruncated=response.num_untruncated,
            raw_response=copy.deepcopy(self.pair.response(side)),
            tools=copy.deepcopy(self.pair.tools),
            template_kwargs=copy.deepcopy(dict(self.pair.template_kwargs)),
            special_tokens=self.pair.special_tokens,
            finished=self.pair.is_finished(side),
            columns=copy.deepcopy(dict(columns or {})),
            shared=dict(shared or {}),
        )


def response_uid(pair: PreferencePair, side: Side) -> str:
    """Return a name of the response that does not depend on its row: a hash of its content."""
    content = [pair.prompt, pair.response(side), side]
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def text_hash(pair: TokenizedPair) -> bytes:
    """Return 16 bytes that name everything of a pair that a plugin may read, beside ids, columns.

    Raises:
        TypeError: the pair holds what JSON does not have.
    """
    seen = [[response_uid(pair.pair, side), pair.response(side).text] for side in SIDES]
    rules = [pair.pair.tools, dict(pair.pair.template_kwargs), pair.pair.special_tokens]
    rules += pair.pair.unfinished
    text = json.dumps([seen, rules], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def data_fingerprint(hashes: np.ndarray[Any, Any]) -> str:
    """Return a hash of the token ids of all pairs, in order.

    Args:
        hashes: [P, 16] uint8, ``TokenizedPair.ids_hash`` of each.
    """
    return hashlib.blake2b(hashes.tobytes(), digest_size=12).hexdigest()
