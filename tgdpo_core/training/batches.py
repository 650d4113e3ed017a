"""Scored pairs to the rows of one optimizer step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tgdpo_core.engine.policy import TokenLogps
from tgdpo_core.engine.rows import PackedRow
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


def collate(pairs: Sequence[ScoredPair]) -> dict[str, list[ScoredPair]]:
    """Return the pairs of a micro-batch as they are: rows are made for a whole optimizer step."""
    return {"pairs": list(pairs)}


def make_rows(
    pairs: Sequence[ScoredPair], engine: TokenLogps, tokens_per_row: int
) -> tuple[list[PairBatch], list[int]]:
    """Return rows of at most ``tokens_per_row`` tokens, and the index of each pair in their order.

    Which pairs share a row changes no number: the loss is a sum over pairs.
    """
    plan = engine.plan([pair_ids(scored.pair) for scored in pairs], tokens_per_row)
    rows = [_batch([pairs[i] for i in members], engine) for members in plan]
    return rows, [i for members in plan for i in members]


def _batch(pairs: Sequence[ScoredPair], engine: TokenLogps) -> PairBatch:
    return PairBatch(
        row=engine.row([pair_ids(scored.pair) for scored in pairs]),
        reference_logps=torch.cat([scored.reference_logps for scored in pairs]),
        token_rewards=torch.cat([scored.token_rewards for scored in pairs]),
        weights=torch.cat([scored.weights for scored in pairs]),
        where=[scored.pair.pair.where for scored in pairs],
    )
