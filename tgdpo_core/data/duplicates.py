"""Pairs that stand twice in a data set, that contradict each other, or that leak into evaluation.

Pairs are compared by 16-byte hashes of what they say (messages and tools, not columns), so that a
data set of any size needs a few bytes a pair.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tgdpo_core.data.pairs import PreferencePair


def count_duplicates(pairs: Sequence[PreferencePair]) -> Counter[str]:
    """Return how many pairs repeat an earlier one, as it is or with its responses exchanged.

    ``duplicate``: pairs that are equal to an earlier pair. ``swapped_duplicate``: pairs whose
    responses stand elsewhere in the data set the other way round, each of the two counted.
    """
    forward = Counter(_pair_hash(pair) for pair in pairs)
    backward = {_pair_hash(pair, swapped=True) for pair in pairs} & forward.keys()
    return +Counter(
        duplicate=len(pairs) - len(forward),
        swapped_duplicate=sum(forward[each] for each in backward),
    )


def count_overlap(
    evaluation: Sequence[PreferencePair], train: Sequence[PreferencePair]
) -> Counter[str]:
    """Return how many evaluation pairs, and how many of their prompts, are trained on.

    ``eval_overlap``: pairs that are training pairs, whichever response is the chosen one.
    ``eval_prompt_overlap``: pairs whose prompt is a training prompt, the former included.
    """
    seen = {_pair_hash(pair, swapped=swapped) for pair in train for swapped in (False, True)}
    prompts = {_prompt_hash(pair) for pair in train}
    return +Counter(
        eval_overlap=sum(_pair_hash(pair) in seen for pair in evaluation),
        eval_prompt_overlap=sum(_prompt_hash(pair) in prompts for pair in evaluation),
    )


def _pair_hash(pair: PreferencePair, *, swapped: bool = False) -> bytes:
    sides = (pair.rejected, pair.chosen) if swapped else (pair.chosen, pair.rejected)
    return _hash([pair.prompt, pair.tools, *sides])


def _prompt_hash(pair: PreferencePair) -> bytes:
    return _hash([pair.prompt, pair.tools])


def _hash(content: Any) -> bytes:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
