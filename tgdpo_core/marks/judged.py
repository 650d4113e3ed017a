"""Marks that a judge sets: it knows where the errors of a response are."""

from collections.abc import Sequence

from tgdpo_core.data.pairs import SIDES, PreferencePair
from tgdpo_core.errors import DataError, PluginError
from tgdpo_core.marks.responses import MarkedResponse, MarkedRow
from tgdpo_core.plugin_api.judges import Generation, Judge
from tgdpo_core.plugin_api.rewards import Side
from tgdpo_core.scoring.guard import call_on_batch


def judged_rows(judge: tuple[str, Judge], pairs: Sequence[PreferencePair]) -> list[MarkedRow]:
    """Return preference pairs of text with the errors that a judge finds in both responses.

    Raises:
        PluginError: the judge knows no errors, failed, or named places outside a response.
        DataError: pairs of messages.
    """
    if any(pair.is_chat for pair in pairs):
        raise DataError("Marks by a judge need pairs of text, found messages.")
    sides = [_errors(judge, pairs, side) for side in SIDES]
    return [
        MarkedRow(str(pair.prompt), tuple(responses), pair.where)
        for pair, *responses in zip(pairs, *sides, strict=True)
    ]


def _errors(
    judge: tuple[str, Judge], pairs: Sequence[PreferencePair], side: Side
) -> list[MarkedResponse]:
    texts = [str(pair.chosen if side == "chosen" else pair.rejected) for pair in pairs]
    batch = [
        Generation(pair.prompt, text, pair.columns, pair.is_finished(side))
        for pair, text in zip(pairs, texts, strict=True)
    ]
    who = f"judge '{judge[0]}', error_spans"
    found = call_on_batch(who, f"{len(batch)} {side} responses", judge[1].error_spans, batch)
    if found is None:
        raise PluginError(
            f"Judge '{judge[0]}' does not know where errors are. Use one that implements "
            "error_spans, or a file with marks."
        )
    if len(found) != len(batch):
        raise PluginError(f"{who} must return {len(batch)} lists of spans, got {len(found)}.")
    for text, spans, pair in zip(texts, found, pairs, strict=True):
        for start, end in spans:
            if not 0 <= start <= end <= len(text):
                raise PluginError(
                    f"{who}, {pair.where} ({side}): the span ({start}, {end}) is outside the "
                    f"response of {len(text)} characters."
                )
    return [
        MarkedResponse(text, errors=[(int(a), int(b)) for a, b in spans])
        for text, spans in zip(texts, found, strict=True)
    ]
