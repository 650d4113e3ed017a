"""Which response tokens a judge knows to be errors."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tgdpo_core.data.pairs import SIDES, TokenizedPair, TokenizedResponse
from tgdpo_core.errors import PluginError
from tgdpo_core.marks.tokens import span_mask
from tgdpo_core.plugin_api.contents import NoContent, content_in
from tgdpo_core.plugin_api.judges import Generation, Judge
from tgdpo_core.plugin_api.rewards import Side
from tgdpo_core.scoring.guard import call_on_batch

_Mask = np.ndarray[Any, np.dtype[np.bool_]]


def known_errors(
    judge: tuple[str, Judge], pairs: Sequence[TokenizedPair]
) -> Mapping[Side, _Mask] | None:
    """Return the error tokens of each side; None if the judge cannot tell.

    A token is an error if one of its characters is; each mask is [N], response after response. The
    judge is shown what the data set has: no closing marks of a chat template, and nothing cut off.
    Errors behind a cut are left out, and so is one of the end of a response that goes on: one that
    is marked as unfinished, or cut.

    Args:
        judge: a judge with its name.
        pairs: whose responses it is asked about.

    Raises:
        PluginError: the judge failed, or returned something else than spans of the responses.
    """
    masks = {side: _of_side(judge, pairs, side) for side in SIDES}
    known = {side: mask for side, mask in masks.items() if mask is not None}
    return known if len(known) == len(SIDES) else None


def _of_side(judge: tuple[str, Judge], pairs: Sequence[TokenizedPair], side: Side) -> _Mask | None:
    contents = [_content(pair, side) for pair in pairs]
    batch = [
        Generation(
            copy.deepcopy(pair.pair.prompt),
            text,
            copy.deepcopy(dict(pair.pair.columns)),
            finished=pair.pair.is_finished(side),
        )
        for pair, (_, text) in zip(pairs, contents, strict=True)
    ]
    who = f"judge '{judge[0]}', error_spans"
    spans = call_on_batch(who, f"{len(batch)} {side} responses", judge[1].error_spans, batch)
    if spans is None:
        return None
    if len(spans) != len(batch):
        raise PluginError(f"{who} must return {len(batch)} lists of spans, got {len(spans)}.")
    masks = [
        _mask(pair, side, content, some, f"{who}, {pair.pair.where} ({side})")
        for pair, content, some in zip(pairs, contents, spans, strict=True)
    ]
    return np.concatenate(masks) if masks else np.zeros(0, dtype=bool)


def _content(pair: TokenizedPair, side: Side) -> tuple[int, str]:
    """Return where the content begins in the text of a response, and all of it.

    What a template rewrote, or is not one text, is shown as it is trained.
    """
    response = pair.response(side)
    try:
        raw = pair.pair.response(side)
        return content_in(response.text, raw, is_cut=_is_cut(response))
    except NoContent:
        return 0, response.text


def _is_cut(response: TokenizedResponse) -> bool:
    return len(response.ids) < response.num_untruncated


def _mask(
    pair: TokenizedPair,
    side: Side,
    content: tuple[int, str],
    spans: Sequence[tuple[int, int]],
    where: str,
) -> _Mask:
    """Return [T]: whether a span holds a character of the token, or is its empty place."""
    start, text = content
    response = pair.response(side)
    has_end = pair.pair.is_finished(side) and not _is_cut(response)
    placed = []
    for a, b in spans:
        if not 0 <= a <= b <= len(text):
            raise PluginError(
                f"{where}: the span ({a}, {b}) is outside the response of {len(text)} characters."
            )
        is_end = a == b == len(text)
        if is_end and has_end:  # what ends the response: closing marks, EOS
            placed += [(start + a, len(response.text)), (len(response.text),) * 2]
        elif not is_end:
            placed.append((start + a, start + b))
    return span_mask(response.offsets, placed)
