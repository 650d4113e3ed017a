"""Rows: several pairs laid out for one forward pass, and where their response tokens sit in it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch

Ids = Sequence[int] | np.ndarray[Any, Any]


class PairIds(NamedTuple):
    """Token ids of one pair; a response may be empty."""

    prompt: Ids
    chosen: Ids
    rejected: Ids


@dataclass(frozen=True)
class PackedRow:
    """Pairs ready for the model; everything after it is a flat vector over N response tokens.

    The tokens of pair 0's chosen response come first, then those of its rejected one, then pair 1.

    Attributes:
        input_ids: [B, T] int64.
        attention_mask: [B, T] int64, 1 on real tokens.
        source: [N] int64, index into the B*T positions of the hidden state that predicts a token.
        targets: [N] int64, the response tokens.
        pair_ids: [N] int64 in [0, P).
        is_chosen: [N] bool.
        num_pairs: P.
        num_tokens: real tokens in the row (padding not counted).
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    source: torch.Tensor
    targets: torch.Tensor
    pair_ids: torch.Tensor
    is_chosen: torch.Tensor
    num_pairs: int
    num_tokens: int

    def to(self, device: Any, **kwargs: Any) -> "PackedRow":
        """Return the row with its tensors on a device."""
        moved = {
            f.name: getattr(self, f.name).to(device, **kwargs)
            for f in fields(self)
            if isinstance(getattr(self, f.name), torch.Tensor)
        }
        return replace(self, **moved)


def pad_pairs(pairs: Sequence[PairIds], *, pad_token_id: int = 0) -> PackedRow:
    """Return a row of 2P sequences (prompt + response each), padded on the right.

    The pad token's id is never looked at: the mask hides it and no response token reads it.
    """
    sequences = [
        (pair.prompt, response, index, chosen)
        for index, pair in enumerate(pairs)
        for response, chosen in ((pair.chosen, True), (pair.rejected, False))
        if len(response)
    ]
    longest = max(len(prompt) + len(response) for prompt, response, *_ in sequences)
    input_ids = torch.full((len(sequences), longest), pad_token_id, dtype=torch.int64)
    mask = torch.zeros_like(input_ids)
    flat: dict[str, list[torch.Tensor]] = {"source": [], "targets": [], "pairs": [], "chosen": []}
    for b, (prompt, response, index, chosen) in enumerate(sequences):
        length = len(prompt) + len(response)
        targets = torch.as_tensor(response, dtype=torch.int64)
        input_ids[b, : len(prompt)] = torch.as_tensor(prompt, dtype=torch.int64)
        input_ids[b, len(prompt) : length] = targets
        mask[b, :length] = 1
        # The hidden state at position t predicts the token at t + 1.
        first = b * longest + len(prompt) - 1
        flat["source"].append(torch.arange(first, first + len(response)))
        flat["targets"].append(targets)
        flat["pairs"].append(torch.full((len(response),), index))
        flat["chosen"].append(torch.full((len(response),), chosen))
    return PackedRow(
        input_ids=input_ids,
        attention_mask=mask,
        source=torch.cat(flat["source"]),
        targets=torch.cat(flat["targets"]),
        pair_ids=torch.cat(flat["pairs"]),
        is_chosen=torch.cat(flat["chosen"]),
        num_pairs=len(pairs),
        num_tokens=int(mask.sum()),
    )
