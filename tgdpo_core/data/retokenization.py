"""The same responses in the tokens of another model, their offsets in the policy's text.

The other tokenizer lays out prompt and response its own way (its chat template, its special
tokens). Positions in its text are led to positions in the policy's by what both hold unchanged:
the responses' contents. Template marks are led to the template marks in the same place.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from tgdpo_core.data.alignment import owned_ranges
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.data.report import RowProblem
from tgdpo_core.data.tokenization import (
    EncodedText,
    PairReader,
    adds_special_tokens,
    common_prefix,
    response_part,
)
from tgdpo_core.errors import DataError
from tgdpo_core.plugin_api.rewards import Example

_Array = np.ndarray[Any, Any]


class _Anchors(NamedTuple):
    """Positions of the other text and of the policy's that belong together; neither decreases."""

    theirs: list[int]
    ours: list[int]


def retokenize(batch: Sequence[Example], tokenizer: Any) -> list[Example]:
    """Return examples with the ids of another tokenizer and offsets into the same ``response``.

    The boundary of prompt and response is found in the other tokenizer's token space, as for the
    policy; each token's range is what it owns of the policy's response text, so that values on
    these ranges, summed, are conserved. Where the policy's response was truncated, the tokens
    behind the cut are left out. A prompt is never shortened.

    Args:
        batch: responses as the policy has them.
        tokenizer: a fast tokenizer of transformers with an EOS token.

    Raises:
        DataError: no prompt token is left, or a chat template rewrites the response.
    """
    reader = PairReader(tokenizer)
    pairs = [_as_pair(example, reader) for example in batch]
    special = adds_special_tokens(tokenizer, pairs[0])
    encoded = iter(_encode(pairs, reader, add_special_tokens=special))
    eos = int(tokenizer.eos_token_id) if special else None
    return [
        _retokenized(example, prompt, full, eos if example.finished else None)
        for example, prompt, full in zip(batch, encoded, encoded, strict=True)
    ]


def _encode(
    pairs: Sequence[PreferencePair], reader: PairReader, *, add_special_tokens: bool
) -> list[EncodedText]:
    """Return the prompt and the whole text of each pair.

    Raises:
        DataError: one cannot be laid out or tokenized.
    """
    encoded: list[EncodedText] = []
    for pair in pairs:
        try:
            texts = [reader.prompt(pair), reader.with_response(pair, "chosen")]
            for found in reader.encode(texts, add_special_tokens=add_special_tokens):
                if isinstance(found, RowProblem):
                    raise found
                encoded.append(found)
        except RowProblem as problem:
            raise DataError(f"{pair.where}: {problem}") from problem
    return encoded


def _as_pair(example: Example, reader: PairReader) -> PreferencePair:
    """Return a pair of which only one response is looked at.

    What the other chat template does not read or leaves out is no fault of the row: the policy's
    template has been checked on it.
    """
    raw = example.raw_response
    pair = PreferencePair(
        example.prompt,
        raw,
        raw,
        _where(example),
        tools=example.tools,
        special_tokens=example.special_tokens,
        may_lose_text=True,
        chosen_finished=example.finished,
    )
    if not example.template_kwargs:
        return pair
    read = reader.template_variables(pair)
    kept = {name: value for name, value in example.template_kwargs.items() if name in read}
    return replace(pair, template_kwargs=kept)


def _where(example: Example) -> str:
    return f"the {example.side} response {example.response[:40]!r}"


def _retokenized(
    example: Example, prompt: EncodedText, full: EncodedText, eos: int | None
) -> Example:
    boundary = common_prefix(prompt.ids, full.ids)
    if boundary == 0:
        raise DataError(
            f"{_where(example)}: no token of the prompt stays when the response follows "
            "it, so its first token has nothing to be predicted from. Use a tokenizer with BOS."
        )
    start = int(prompt.offsets[:boundary, 1].max())
    response = response_part(full, boundary, start, eos, len(full.ids) + 1)
    is_cut = len(example.response_ids) < example.num_untruncated
    anchors = _anchors(_contents(example), response.text, example.response, is_cut=is_cut)
    if anchors is None:
        raise DataError(
            f"{_where(example)}: a chat template does not write its messages as they are, so "
            "two tokenizers' tokens cannot be aligned on them. Use pairs of plain text, or a "
            "model with the policy's tokenizer."
        )
    starts, ends = owned_ranges(response.offsets, len(response.text))
    # Nothing behind the cut; an empty token is EOS, which is behind it.
    kept = (ends <= anchors.theirs[-1]) & (starts < ends) if is_cut else slice(None)
    starts, ends = _led(starts[kept], ends[kept], anchors)
    return replace(
        example,
        prompt_ids=full.ids[:boundary].tolist(),
        response_ids=response.ids[kept].tolist(),
        offsets=list(zip(starts.tolist(), ends.tolist(), strict=True)),
        num_untruncated=len(response.ids),
        shared={},
    )


def _contents(example: Example) -> list[str]:
    if isinstance(example.raw_response, str):
        return [example.raw_response]
    contents = [message.get("content") for message in example.raw_response]
    # Templates may strip a message; what is not text is left to the marks around it.
    return [text.strip() for text in contents if isinstance(text, str) and text.strip()]


def _anchors(contents: Sequence[str], theirs: str, ours: str, *, is_cut: bool) -> _Anchors | None:
    """Return where contents begin and end in both texts, from 0 to the end of both.

    Where ours is cut, to the cut, or to the last content in front of marks that were cut.

    Returns:
        None if a content is not there as it is.
    """
    anchors = _Anchors([0], [0])
    for content in contents:
        start = theirs.find(content, anchors.theirs[-1])
        our_start = ours.find(content, anchors.ours[-1])
        if our_start < 0 and is_cut:
            our_start = _cut_start(content, ours, anchors.ours[-1])
            if our_start < 0 < anchors.ours[-1]:
                return anchors
        if start < 0 or our_start < 0:
            return None
        length = min(len(content), len(ours) - our_start)
        anchors.theirs.extend((start, start + length))
        anchors.ours.extend((our_start, our_start + length))
        if length < len(content):
            return anchors
    if not is_cut:
        anchors.theirs.append(len(theirs))
        anchors.ours.append(len(ours))
    return anchors


def _cut_start(content: str, text: str, reached: int) -> int:
    """Return where the beginning of a content ends a text that was cut there, or -1."""
    places = range(max(reached, len(text) - len(content)), len(text))
    return next((i for i in places if content.startswith(text[i:])), -1)


def _led(starts: _Array, ends: _Array, anchors: _Anchors) -> tuple[_Array, _Array]:
    """Return ranges of the other text as ranges of the policy's.

    At a place where only the policy's text has marks, what begins there begins behind them and
    what ends there ends in front of them.
    """
    theirs, ours = np.array(anchors.theirs), np.array(anchors.ours)
    led_ends = np.interp(-ends, -theirs[::-1], ours[::-1])
    led_starts = np.minimum(np.interp(starts, theirs, ours), led_ends)
    return led_starts.round().astype(np.int64), led_ends.round().astype(np.int64)
