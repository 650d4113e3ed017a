"""Which response tokens a judge knows to be errors."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tgdpo_core.data.pairs import SIDES, TokenizedPair, TokenizedResponse
from tgdpo_core.errors import PluginError
from tgdpo_core.marks.tokens import span_mask
from tgdpo_core.plugin_api.judges import Generation, Judge
from tgdpo_core.plugin_api.rewards import Side
from tgdpo_core.scoring.guard import call_on_batch

_Mask = np.ndarray[Any, np.dtype[np.bool_]]


def known_errors(
    judge: tuple[str, Judge], pairs: Sequence[TokenizedPair]
) -> Mapping[Side, _Mask] | None:
    """Return the error tokens of each side; None if the judge cannot tell.

    A token is an error if one of its characters is; each mask is [N], response after response.

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
    responses = [pair.response(side) for pair in pairs]
    batch = [
        Generation(
            copy.deepcopy(pair.pair.prompt), response.text, copy.deepcopy(dict(pair.pair.columns))
        )
        for pair, response in zip(pairs, responses, strict=True)
    ]
    who = f"judge '{judge[0]}', error_spans"
    spans = call_on_batch(who, f"{len(batch)} {side} responses", judge[1].error_spans, batch)
    if spans is None:
        return None
    if len(spans) != len(batch):
        raise PluginError(f"{who} must return {len(batch)} lists of spans, got {len(spans)}.")
    masks = [
        _mask(response, some, f"{who}, {pair.pair.where} ({side})")
        for pair, response, some in zip(pairs, responses, spans, strict=True)
    ]
    return np.concatenate(masks) if masks else np.zeros(0, dtype=bool)


def _mask(response: TokenizedResponse, spans: Sequence[tuple[int, int]], where: str) -> _Mask:
    """Return [T]: whether a span holds a character of the token, or is its empty place."""
    for start, end in spans:
        if not 0 <= start <= end <= len(response.text):
            raise PluginError(
                f"{where}: the span ({start}, {end}) is outside the response of "
                f"{len(response.text)} characters."
            )
    return span_mask(response.offsets, spans)
