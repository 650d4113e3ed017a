"""Scored pairs made by hand."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tgdpo_core.data.pairs import PreferencePair, TokenizedPair, TokenizedResponse
from tgdpo_core.scoring.pairs import ScoredPair


def _response(tokens: Sequence[str]) -> TokenizedResponse:
    """Return a response of the given tokens; an empty string is a token without text (EOS)."""
    ends = np.cumsum([len(token) for token in tokens])
    starts = np.concatenate([[0], ends[:-1]])
    return TokenizedResponse(
        ids=np.arange(len(tokens)),
        offsets=np.stack([starts, ends], axis=1),
        text="".join(tokens),
        num_untruncated=len(tokens),
    )


def _scored_pair(
    chosen: Sequence[float],
    rejected: Sequence[float],
    *,
    weights: Sequence[float] | None = None,
    tokens: tuple[Sequence[str], Sequence[str]] | None = None,
    prompt: Any = "2 + 2 =",
    where: str = "pairs.jsonl:1",
) -> ScoredPair:
    texts = tokens or (["a"] * len(chosen), ["b"] * len(rejected))
    rewards = torch.tensor([*chosen, *rejected])
    cut = len(chosen)
    linear = torch.cat([1 + rewards[:cut] / 2, 1 - rewards[cut:] / 2])
    w, lo = (_response(side) for side in texts)
    pair = TokenizedPair(PreferencePair(prompt, w.text, lo.text, where), np.arange(3), w, lo)
    return ScoredPair(
        pair=pair,
        reference_logps=-torch.ones(len(rewards)),
        token_rewards=rewards,
        weights=linear if weights is None else torch.tensor(weights),
        swapped_weights=torch.full_like(linear, torch.nan),
    )


@pytest.fixture(scope="session")
def scored_pair() -> Callable[..., ScoredPair]:
    """Makes a scored pair from rewards; weights are 1 + r/2 and 1 - r/2 unless given."""
    return _scored_pair
