"""The names under which a collection keeps answers about single responses."""

import hashlib
import json

from tgdpo_core.data.pairs import SIDES, TokenizedPair, response_uid
from tgdpo_core.plugin_api.rewards import Side
from tgdpo_core.scoring.sources import RewardSource


def response_names(source: RewardSource, pair: TokenizedPair) -> tuple[bytes, bytes]:
    """Return the store's names of a pair's responses: hashes of what a plugin may read of each.

    Args:
        source: says which columns it reads.
        pair: the pair.
    """
    chosen, rejected = (_name(source, pair, side) for side in SIDES)
    return chosen, rejected


def _name(source: RewardSource, pair: TokenizedPair, side: Side) -> bytes:
    response, row = pair.response(side), pair.pair
    ends = {side}.intersection(row.unfinished)
    seen = [
        *("response", response_uid(row, side)),
        response.text,
        response.num_untruncated,
        [row.tools, dict(row.template_kwargs), row.special_tokens, *ends],
        source.columns_of(row),
        pair.prompt_ids.tolist(),
        response.ids.tolist(),
    ]
    text = json.dumps(seen, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
