"""Text to token ids, with the prompt/response boundary found in token space.

Prompt and response are tokenized as one text, as the model will see them; the response begins
where the ids of prompt, prompt + chosen and prompt + rejected stop being equal. (Tokenizing the
parts apart, or decoding and encoding again, gives other ids wherever a token spans the boundary.)

Rules of length, all counted in the report:
    prompt longer than ``max_prompt_length``: its beginning is cut off (the question is at the end);
    prompt + response longer than ``max_length``: the end of the response is cut off, EOS with it;
    no response token left, or the two responses equal after the cut: the row is a bad row.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from tgdpo_core.data.offsets import offsets_cover, offsets_from_bytes
from tgdpo_core.data.pairs import SIDES, PreferencePair, TokenizedPair, TokenizedResponse
from tgdpo_core.data.report import DataReport, RowProblem
from tgdpo_core.errors import DataError
from tgdpo_core.plugin_api.rewards import Side

_BATCH = 512  # pairs tokenized together: the Rust tokenizer works in parallel

PLAIN_TEMPLATE = (
    "{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ m['content'] }}"
    "{% elif m['role'] == 'assistant' %}{{ '\n\nAssistant: ' + m['content'] }}"
    "{% else %}{{ '\n\nHuman: ' + m['content'] }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '\n\nAssistant:' }}{% endif %}"
)
"""Layout of messages for a tokenizer that brings no chat template (a base model)."""

_Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class LengthLimits:
    """Token limits: prompt + response, and the prompt alone (None: only the former)."""

    max_length: int = 2048
    max_prompt_length: int | None = None


class EncodedText(NamedTuple):
    """A text with its token ids [T] int64 and their character ranges [T, 2] int64."""

    text: str
    ids: _Array
    offsets: _Array


def tokenize_pairs(
    pairs: Sequence[PreferencePair], tokenizer: Any, limits: LengthLimits, report: DataReport
) -> list[TokenizedPair]:
    """Return the pairs with their token ids; unusable ones go into the report.

    Args:
        pairs: parsed pairs, all text or all messages.
        tokenizer: a fast tokenizer of transformers with an EOS token.
        limits: see the module's rules of length.
        report: takes problems, truncation counts and token totals.

    Raises:
        DataError: a tokenizer without offsets or EOS, or a chat template that fails.
    """
    check_tokenizer(tokenizer)
    tokenized: list[TokenizedPair] = []
    for batch in _batched(pairs, _BATCH):
        for pair, encoded in zip(batch, _encode(batch, tokenizer), strict=True):
            try:
                tokenized.append(_assemble(pair, encoded, tokenizer, limits, report))
            except RowProblem as problem:
                report.add_problem(pair.where, problem)
    report.num_pairs = len(tokenized)
    report.tokens = {
        "prompt": sum(len(p.prompt_ids) for p in tokenized),
        "chosen": sum(len(p.chosen.ids) for p in tokenized),
        "rejected": sum(len(p.rejected.ids) for p in tokenized),
    }
    return tokenized


def check_tokenizer(tokenizer: Any) -> None:
    """Raise ``DataError`` for a tokenizer without character offsets or without an EOS token."""
    if not getattr(tokenizer, "is_fast", False):
        raise DataError(
            f"The tokenizer {type(tokenizer).__name__} gives no character offsets. "
            "Use a fast one: a model folder with tokenizer.json."
        )
    if tokenizer.eos_token_id is None:
        raise DataError(
            "The tokenizer has no EOS token, so a response would have no end. "
            "Set eos_token in its tokenizer_config.json."
        )


def _encode(
    batch: Sequence[PreferencePair], tokenizer: Any
) -> Iterator[tuple[EncodedText, EncodedText, EncodedText]]:
    """Yield prompt, prompt + chosen and prompt + rejected of each pair, encoded."""
    texts = [
        text
        for pair in batch
        for text in (
            prompt_text(pair, tokenizer),
            *(text_with_response(pair, side, tokenizer) for side in SIDES),
        )
    ]
    special = adds_special_tokens(tokenizer, batch[0])
    triples = iter(encode_texts(texts, tokenizer, add_special_tokens=special))
    yield from zip(triples, triples, triples, strict=True)


def encode_texts(
    texts: Sequence[str], tokenizer: Any, *, add_special_tokens: bool
) -> list[EncodedText]:
    """Return texts with ids and offsets that are known to cover them.

    Raises:
        DataError: offsets that leave out text and cannot be made from the tokens' bytes.
    """
    output = tokenizer(
        list(texts),
        add_special_tokens=add_special_tokens,
        return_offsets_mapping=True,
        verbose=False,
    )
    encoded = []
    for text, ids, found in zip(texts, output["input_ids"], output["offset_mapping"], strict=True):
        offsets = np.asarray(found, np.int64).reshape(-1, 2)
        if not offsets_cover(offsets, text, tokenizer):
            offsets = offsets_from_bytes(text, tokenizer, add_special_tokens=add_special_tokens)
        encoded.append(EncodedText(text, np.asarray(ids, np.int64), offsets))
    return encoded


def adds_special_tokens(tokenizer: Any, pair: PreferencePair) -> bool:
    """Return whether BOS and EOS are added to a pair's text: a chat template writes its own."""
    return not (pair.is_chat and tokenizer.chat_template)


def prompt_text(pair: PreferencePair, tokenizer: Any) -> str:
    """Return the prompt as the model sees it."""
    if not pair.is_chat:
        return str(pair.prompt)
    return render_messages(pair, [*pair.prompt], tokenizer, add_generation_prompt=True)


def text_with_response(pair: PreferencePair, side: Side, tokenizer: Any) -> str:
    """Return prompt and response as the model sees them."""
    response = pair.response(side)
    if not pair.is_chat:
        return f"{pair.prompt}{response}"
    return render_messages(pair, [*pair.prompt, *response], tokenizer)


def render_messages(
    pair: PreferencePair, messages: Sequence[Any], tokenizer: Any, **kwargs: Any
) -> str:
    """Return messages as text through the tokenizer's chat template, else the plain layout."""
    import jinja2

    template = None if tokenizer.chat_template else PLAIN_TEMPLATE
    try:
        text: str = tokenizer.apply_chat_template(
            messages, tools=pair.tools, chat_template=template, tokenize=False, **kwargs
        )
    except (jinja2.TemplateError, ValueError, TypeError) as error:
        raise DataError(f"{pair.where}: the chat template refuses the messages: {error}") from error
    return text


def _assemble(
    pair: PreferencePair,
    encoded: tuple[EncodedText, EncodedText, EncodedText],
    tokenizer: Any,
    limits: LengthLimits,
    report: DataReport,
) -> TokenizedPair:
    prompt, chosen, rejected = encoded
    boundary = min(common_prefix(prompt.ids, full.ids) for full in (chosen, rejected))
    if boundary == 0:
        raise RowProblem("no_prompt_token", "the prompt has no token that both responses keep")
    prompt_ids = _shorten_prompt(prompt.ids[:boundary], limits)
    room = limits.max_length - len(prompt_ids)
    if room < 1:
        raise RowProblem(
            "prompt_too_long",
            f"the prompt has {boundary} tokens; max_length {limits.max_length} leaves no room for "
            "a response. Raise data.max_length, or set data.max_prompt_length",
        )
    start = int(prompt.offsets[:boundary, 1].max())
    eos = int(tokenizer.eos_token_id) if adds_special_tokens(tokenizer, pair) else None
    responses = [response_part(full, boundary, start, eos, room) for full in (chosen, rejected)]
    if np.array_equal(responses[0].ids, responses[1].ids):
        raise RowProblem(
            "identical_after_truncation",
            f"the responses are equal within max_length {limits.max_length}",
        )
    report.counts.update(_changes(prompt.ids, boundary, prompt_ids, responses))
    return TokenizedPair(pair, prompt_ids, *responses)


def _changes(
    prompt: _Array, boundary: int, kept: _Array, responses: Sequence[TokenizedResponse]
) -> list[str]:
    """Return the names of what was changed in a row, for counting."""
    names = []
    if boundary < len(prompt):
        names.append("boundary_inside_prompt")
    if len(kept) < boundary:
        names.append("prompt_truncated")
    for side, response in zip(("chosen", "rejected"), responses, strict=True):
        if len(response.ids) < response.num_untruncated:
            names.append(f"{side}_truncated")
    return names


def common_prefix(a: _Array, b: _Array) -> int:
    """Return how many ids two texts share at their beginning."""
    length = min(len(a), len(b))
    different = np.flatnonzero(a[:length] != b[:length])
    return int(different[0]) if len(different) else length


def _shorten_prompt(ids: _Array, limits: LengthLimits) -> _Array:
    keep = limits.max_prompt_length
    return ids if keep is None or len(ids) <= keep else ids[-keep:]


def response_part(
    full: EncodedText, boundary: int, start: int, eos: int | None, room: int
) -> TokenizedResponse:
    """Return the response's part of an encoded text, its offsets counted from its first character.

    Args:
        full: prompt + response.
        boundary: number of prompt tokens.
        start: where the response's text begins.
        eos: the id to end with (None: the chat template ends the response its own way).
        room: how many tokens fit.
    """
    ids, offsets = full.ids[boundary:], np.maximum(full.offsets[boundary:] - start, 0)
    text = full.text[start:]
    if eos is not None and (not len(ids) or ids[-1] != eos):
        ids = np.append(ids, eos)
        offsets = np.vstack([offsets, [[len(text), len(text)]]])
    elif eos is not None:
        offsets[-1] = np.where(offsets[-1] == 0, len(text), offsets[-1])
    kept = offsets[:room]
    if len(ids) > room:
        text = text[: int(kept[:, 1].max())]
    return TokenizedResponse(ids[:room], kept, text, num_untruncated=len(ids))


def _batched(items: Iterable[Any], size: int) -> Iterator[Sequence[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def layout(tokenizer: Any, pairs: Sequence[PreferencePair]) -> str:
    """Return which layout the pairs get: ``text``, ``chat_template`` or ``plain``."""
    if not pairs or not pairs[0].is_chat:
        return "text"
    return "chat_template" if tokenizer.chat_template else "plain"
