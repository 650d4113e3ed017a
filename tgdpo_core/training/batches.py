"""Scored pairs to the batch of one forward pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tgdpo_core.engine.rows import PackedRow, pad_pairs
from tgdpo_core.scoring.passes import pair_ids
from tgdpo_core.scoring.scored import ScoredPair


@dataclass(frozen=True)
class PairBatch:
    """A row and what belongs to its response tokens, [N] float32 each.

    Attributes:
        row: the pairs, laid out for the model.
        reference_logps: log pi_ref.
        token_rewards: r.
        weights: f_w(r) or f_l(r).
        where: the place of each pair in its data set, for messages.
    """

    row: PackedRow
    reference_logps: torch.Tensor
    token_rewards: torch.Tensor
    weights: torch.Tensor
    where: Sequence[str]

    def to(self, device: Any, **kwargs: Any) -> "PairBatch":
        """Return the batch on a device."""
        return PairBatch(
            self.row.to(device, **kwargs),
            self.reference_logps.to(device, **kwargs),
            self.token_rewards.to(device, **kwargs),
            self.weights.to(device, **kwargs),
            self.where,
        )


def collate(pairs: Sequence[ScoredPair]) -> dict[str, PairBatch]:
    """Return the batch of several scored pairs, under the one name that the trainer reads."""
    batch = PairBatch(
        row=pad_pairs([pair_ids(scored.pair) for scored in pairs]),
        reference_logps=torch.cat([scored.reference_logps for scored in pairs]),
        token_rewards=torch.cat([scored.token_rewards for scored in pairs]),
        weights=torch.cat([scored.weights for scored in pairs]),
        where=[scored.pair.pair.where for scored in pairs],
    )
    return {"batch": batch}
