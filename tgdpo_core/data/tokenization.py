"""Text to token ids, with the prompt/response boundary found in token space.

Prompt and response are tokenized as one text, as the model will see them; the response begins
where the ids of prompt, prompt + chosen and prompt + rejected stop being equal. (Tokenizing the
parts apart, or decoding and encoding again, gives other ids wherever a token spans the boundary.)

Rules of length, all counted in the report:
    prompt longer than ``max_prompt_length``: its beginning is cut off (the question is at the end);
    prompt + response longer than ``max_length``: the end of the response is cut off, EOS with it;
    no response token left, or the two responses equal after the cut: the row is a bad row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tgdpo_core.data.encoding import EncodedText, check_tokenizer, encode_texts
from tgdpo_core.data.model_text import PairReader, adds_special_tokens
from tgdpo_core.data.pairs import SIDES, PreferencePair, TokenizedPair, TokenizedResponse
from tgdpo_core.data.report import DataReport, RowProblem
from tgdpo_core.data.special_tokens import ModelText
from tgdpo_core.progress import stage

__all__ = [
    "EncodedText",
    "LengthLimits",
    "PairReader",
    "adds_special_tokens",
    "check_tokenizer",
    "common_prefix",
    "encode_texts",
    "layout",
    "response_part",
    "tokenize_pairs",
]

TOKENIZED_TOGETHER = 512  # pairs tokenized together: the Rust tokenizer works in parallel

_Array = np.ndarray[Any, Any]
_Encoded = tuple[EncodedText, EncodedText, EncodedText]


@dataclass(frozen=True)
class LengthLimits:
    """Token limits: prompt + response, and the prompt alone (None: only the former)."""

    max_length: int = 2048
    max_prompt_length: int | None = None


def tokenize_pairs(
    pairs: Sequence[PreferencePair], tokenizer: Any, limits: LengthLimits, report: DataReport
) -> list[TokenizedPair]:
    """Return the pairs with their token ids; unusable ones go into the report.

    Args:
        pairs: parsed pairs, all text or all messages.
        tokenizer: a fast tokenizer of transformers with an EOS token.
        limits: see the module's rules of length.
        report: takes problems, counts of what was changed, and token totals.

    Raises:
        DataError: a tokenizer without offsets or EOS, or a chat template that runs away.
    """
    tokenized: list[TokenizedPair] = []
    with stage("tokenizing", len(pairs), "pair") as bar:
        for start in range(0, len(pairs), TOKENIZED_TOGETHER):
            batch = pairs[start : start + TOKENIZED_TOGETHER]
            for pair, found in zip(batch, tokenize_batch(batch, tokenizer, limits), strict=True):
                if isinstance(found, RowProblem):
                    report.add_problem(pair.where, found)
                    continue
                tokenized.append(found.pair)
                for name in found.changes:
                    report.note(name, pair.where)
            bar.update(len(batch))
    report.num_pairs = len(tokenized)
    report.tokens = {
        "prompt": sum(len(p.prompt_ids) for p in tokenized),
        "chosen": sum(len(p.chosen.ids) for p in tokenized),
        "rejected": sum(len(p.rejected.ids) for p in tokenized),
    }
    return tokenized


class Tokenized(NamedTuple):
    """A pair with its token ids, and the names of what was changed on the way, sorted."""

    pair: TokenizedPair
    changes: Sequence[str]


def tokenize_batch(
    batch: Sequence[PreferencePair], tokenizer: Any, limits: LengthLimits
) -> list[Tokenized | RowProblem]:
    """Return each pair with its token ids, or why it cannot be used.

    Raises:
        DataError: a tokenizer without offsets or EOS, or a chat template that runs away.
    """
    reader = PairReader(tokenizer)
    results: list[Tokenized | RowProblem] = []
    for pair, found in zip(batch, _encode(batch, reader, tokenizer), strict=True):
        if isinstance(found, RowProblem):
            results.append(found)
            continue
        try:
            tokenized, changes = _assemble(pair, found.texts, tokenizer, limits)
            results.append(Tokenized(tokenized, sorted({*changes, *found.changes})))
        except RowProblem as problem:
            results.append(problem)
    return results


class _EncodedPair(NamedTuple):
    """Prompt, prompt + chosen and prompt + rejected, and what was changed in them."""

    texts: _Encoded
    changes: frozenset[str]


def _encode(
    batch: Sequence[PreferencePair], reader: PairReader, tokenizer: Any
) -> Iterator[_EncodedPair | RowProblem]:
    """Yield the encoded texts of each pair, or what is wrong with it."""
    laid_out = [_laid_out(pair, reader) for pair in batch]
    flat = [text for texts in laid_out if not isinstance(texts, RowProblem) for text in texts]
    special = adds_special_tokens(tokenizer, batch[0])
    encoded = iter(reader.encode(flat, add_special_tokens=special))
    for texts in laid_out:
        if isinstance(texts, RowProblem):
            yield texts
            continue
        triple = [next(encoded) for _ in texts]
        problem = next((found for found in triple if isinstance(found, RowProblem)), None)
        if problem:
            yield problem
            continue
        prompt, chosen, rejected = (found for found in triple if isinstance(found, EncodedText))
        changes = frozenset(name for text in texts for name in text.changes)
        yield _EncodedPair((prompt, chosen, rejected), changes)


def _laid_out(pair: PreferencePair, reader: PairReader) -> list[ModelText] | RowProblem:
    try:
        return [reader.prompt(pair), *(reader.with_response(pair, side) for side in SIDES)]
    except RowProblem as problem:
        return problem


def _assemble(
    pair: PreferencePair,
    encoded: _Encoded,
    tokenizer: Any,
    limits: LengthLimits,
) -> tuple[TokenizedPair, list[str]]:
    """Return the pair as it is trained, and the names of what was changed, for counting."""
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
    responses = [
        response_part(full, boundary, start, eos if pair.is_finished(side) else None, room)
        for side, full in zip(SIDES, (chosen, rejected), strict=True)
    ]
    if np.array_equal(responses[0].ids, responses[1].ids):
        raise RowProblem(
            "identical_after_truncation",
            f"the responses are equal within max_length {limits.max_length}",
        )
    changes = _changes(prompt.ids, boundary, prompt_ids, responses)
    changes += [f"{side}_unfinished" for side in pair.unfinished]
    ends = [
        _end(full.ids[boundary:], int(tokenizer.eos_token_id))
        for side, full in zip(SIDES, (chosen, rejected), strict=True)
        if pair.is_finished(side)
    ]
    if eos is None and None in ends:
        changes.append("ends_without_eos")
    if any(ends):
        changes.append("tokens_after_eos")
    return TokenizedPair(pair, prompt_ids, *responses), changes


def _end(ids: _Array, eos: int) -> int | None:
    """Return how many tokens follow the last EOS, or None without one."""
    places = np.flatnonzero(ids == eos)
    return len(ids) - 1 - int(places[-1]) if len(places) else None


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
    if eos is not None and not _has_end(text, ids, offsets, eos):
        ids = np.append(ids, eos)
        offsets = np.vstack([offsets, [[len(text), len(text)]]])
    kept = offsets[:room]
    if len(ids) > room:
        text = text[: int(kept[:, 1].max())]
    return TokenizedResponse(ids[:room], kept, text, num_untruncated=len(ids))


def _has_end(text: str, ids: _Array, offsets: _Array, eos: int) -> bool:
    """Return whether the last EOS has nothing but white space behind it."""
    places = np.flatnonzero(ids == eos)
    return len(places) > 0 and not text[int(offsets[places[-1], 1]) :].strip()


def layout(tokenizer: Any, pairs: Sequence[PreferencePair]) -> str:
    """Return which layout the pairs get: ``text``, ``chat_template`` or ``plain``."""
    if not pairs or not pairs[0].is_chat:
        return "text"
    return "chat_template" if tokenizer.chat_template else "plain"
