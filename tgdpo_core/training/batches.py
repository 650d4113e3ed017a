"""Scored pairs to the rows of one optimizer step."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from tgdpo_core.engine.policy import TokenLogps
from tgdpo_core.engine.rows import PackedRow
from tgdpo_core.engine.tensors import moved
from tgdpo_core.plugin_api.rewards import Phase
from tgdpo_core.scoring.distribution import HIDDEN
from tgdpo_core.scoring.online import OnlineRewards
from tgdpo_core.scoring.pairs import ScoredPair
from tgdpo_core.scoring.passes import pair_ids


@dataclass(frozen=True)
class PairBatch:
    """A row and what belongs to its response tokens, [N] float32 each.

    Attributes:
        row: the pairs, laid out for the model.
        reference_logps: log pi_ref.
        token_rewards: r.
        weights: f_w(r) or f_l(r); NaN where they wait for the policy's log-probs.
        swapped_weights: those of the pairs with their labels exchanged, for metrics.
        pairs: what the row is made of, in its order.
        reference_hidden: hidden states of the reference, [N, D], where distributions are compared.
        counts: False for a row that only keeps processes in step (see ``rank_rows``).
    """

    row: PackedRow
    reference_logps: torch.Tensor
    token_rewards: torch.Tensor
    weights: torch.Tensor
    swapped_weights: torch.Tensor
    pairs: Sequence[ScoredPair]
    counts: bool = True
    reference_hidden: torch.Tensor | None = None

    @property
    def where(self) -> list[str]:
        """The place of each pair in its data set, for messages."""
        return [scored.pair.pair.where for scored in self.pairs]

    def to(self, device: Any) -> "PairBatch":
        """Return the batch on a device."""
        return moved(self, device)

    def scored_online(
        self, online: OnlineRewards, policy: Mapping[str, torch.Tensor], *, in_training: bool
    ) -> "PairBatch":
        """Return the batch with the rewards and weights that the policy has now.

        Args:
            online: the dynamic sources.
            policy: ``policy_logps`` and what else is known of the response tokens, [N] or [N, k].
            in_training: whether the sources may learn from it, if its pairs count.
        """
        phase: Phase = "eval"
        if in_training:
            phase = "train" if self.counts else "statistics"
        sizes = [scored.pair.num_response_tokens for scored in self.pairs]
        by_pair = {name: _on_cpu(v).split(sizes) for name, v in policy.items()}
        pairs = online(self.pairs, by_pair, phase)
        now = dataclasses.replace(
            self,
            token_rewards=torch.cat([scored.token_rewards for scored in pairs]),
            weights=torch.cat([scored.weights for scored in pairs]),
            swapped_weights=torch.cat([scored.swapped_weights for scored in pairs]),
        )
        return now.to(self.weights.device)


class StepRows(NamedTuple):
    """What a process computes in an optimizer step.

    Attributes:
        rows: its rows.
        num_pairs: pairs that count; 0 where all rows only keep processes in step.
        num_batches: micro-batches that they come from; 0 at the end of the data.
    """

    rows: list[PairBatch]
    num_pairs: int
    num_batches: int


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
    rows = [batch_of([pairs[i] for i in members], engine) for members in plan]
    return rows, [i for members in plan for i in members]


def _on_cpu(values: torch.Tensor) -> torch.Tensor:
    values = values.detach()
    return (values.float() if values.is_floating_point() else values).cpu()


def batch_of(pairs: Sequence[ScoredPair], engine: TokenLogps) -> PairBatch:
    """Return pairs as one row."""
    return PairBatch(
        row=engine.row([pair_ids(scored.pair) for scored in pairs]),
        reference_logps=torch.cat([scored.reference_logps for scored in pairs]),
        token_rewards=torch.cat([scored.token_rewards for scored in pairs]),
        weights=torch.cat([scored.weights for scored in pairs]),
        swapped_weights=torch.cat([scored.swapped_weights for scored in pairs]),
        pairs=pairs,
        reference_hidden=torch.cat([scored.reference_values[HIDDEN] for scored in pairs])
        if HIDDEN in pairs[0].reference_values
        else None,
    )
