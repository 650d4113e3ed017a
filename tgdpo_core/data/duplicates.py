"""Pairs that stand twice in a data set, that contradict each other, or that leak into evaluation.

Pairs are compared by 16-byte hashes of what they say (messages and tools, not columns), so that a
data set of any size needs a few bytes a pair.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tgdpo_core.data.pairs import PreferencePair

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class PairHashes:
    """What pairs say, as hashes of 16 bytes, [P] ``V16`` each.

    Attributes:
        forward: prompt, chosen, rejected.
        backward: prompt, rejected, chosen.
        prompt: the prompt.
    """

    forward: Array
    backward: Array
    prompt: Array

    @staticmethod
    def of(hashes: Iterable[bytes]) -> "PairHashes":
        """Return the hashes of pairs, each as ``pair_hashes`` gives them."""
        table = np.frombuffer(b"".join(hashes), "V16").reshape(-1, 3)
        return PairHashes(*(np.ascontiguousarray(column) for column in table.T))


def pair_hashes(pair: PreferencePair) -> bytes:
    """Return the hashes of a pair: forward, backward, prompt; 48 bytes."""
    sides = pair.chosen, pair.rejected
    prompt = [pair.prompt, pair.tools, dict(pair.template_kwargs)]
    open_ends = [list(pair.unfinished)] if pair.unfinished else []
    return b"".join(_hash([prompt, *each, *open_ends]) for each in (sides, sides[::-1], ()))


def count_duplicates(pairs: PairHashes) -> Counter[str]:
    """Return how many pairs repeat an earlier one, as it is or with its responses exchanged.

    ``duplicate``: pairs that are equal to an earlier pair. ``swapped_duplicate``: pairs whose
    responses stand elsewhere in the data set the other way round, each of the two counted.
    """
    return +Counter(
        duplicate=len(pairs.forward) - len(np.unique(pairs.forward)),
        swapped_duplicate=int(np.isin(pairs.forward, pairs.backward).sum()),
    )


def count_overlap(evaluation: PairHashes, train: PairHashes) -> Counter[str]:
    """Return how many evaluation pairs, and how many of their prompts, are trained on.

    ``eval_overlap``: pairs that are training pairs, whichever response is the chosen one.
    ``eval_prompt_overlap``: pairs whose prompt is a training prompt, the former included.
    """
    seen = np.concatenate([train.forward, train.backward])
    return +Counter(
        eval_overlap=int(np.isin(evaluation.forward, seen).sum()),
        eval_prompt_overlap=int(np.isin(evaluation.prompt, train.prompt).sum()),
    )


def _hash(content: Any) -> bytes:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
