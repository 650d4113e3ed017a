"""The values of a scored pair's tokens as JSON: what a heat map colours, for scripts."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tgdpo_core.data.alignment import owned_ranges
from tgdpo_core.data.pairs import SIDES, TokenizedResponse

if TYPE_CHECKING:
    from tgdpo_core.scoring.pairs import ScoredPair


def pair_values(
    scored: "ScoredPair", token_name: Callable[[int], str], *, number: int
) -> dict[str, Any]:
    """Return a pair with one object for each response token.

    ``start`` and ``end`` are characters of the response; a token without text (EOS) has none of
    them, and bytes inside of one character share it. ``reward`` is r, ``weight`` is f_w(r) or
    f_l(r), ``reference_logp`` is log pi_ref (nats).

    Args:
        scored: the pair.
        token_name: name of a token id.
        number: of the training pair, from 0.
    """
    pair = scored.pair
    cut = len(pair.chosen.ids)
    columns = list(
        zip(
            scored.token_rewards.tolist(),
            scored.weights.tolist(),
            scored.reference_logps.tolist(),
            strict=True,
        )
    )
    responses: dict[str, Any] = {
        side: _response(pair.response(side), values, token_name)
        for side, values in zip(SIDES, (columns[:cut], columns[cut:]), strict=True)
    }
    return {"number": number, "where": pair.pair.where, "prompt": pair.pair.prompt, **responses}


def _response(
    response: TokenizedResponse,
    values: Sequence[tuple[float, float, float]],
    token_name: Callable[[int], str],
) -> dict[str, Any]:
    starts, ends = owned_ranges(response.offsets, len(response.text))
    ids = response.ids.tolist()
    tokens = [
        {
            "id": token_id,
            "token": token_name(token_id),
            "start": start,
            "end": end,
            "text": response.text[start:end],
            "reward": reward,
            "weight": weight,
            "reference_logp": logp,
        }
        for token_id, start, end, (reward, weight, logp) in zip(
            ids, starts.tolist(), ends.tolist(), values, strict=True
        )
    ]
    return {"text": response.text, "tokens": tokens}
