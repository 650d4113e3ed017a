"""One scored pair: what training reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from tgdpo_core.data.pairs import TokenizedPair


@dataclass(frozen=True)
class ScoredPair:
    """One pair as the collator gets it; vectors are [n] float32, chosen tokens first.

    Attributes:
        pair: ids and text.
        reference_logps: log pi_ref of the response tokens.
        token_rewards: r, the sum of all sources after their transforms.
        weights: f_w(r) on chosen tokens, f_l(r) on rejected ones.
        swapped_weights: those of the pair with its labels exchanged: f_l(r) on the tokens of the
            chosen response, f_w(r) on the rejected one. For metrics only; NaN where the shaping
            has none.
        reference_values: what is stored of the reference's distribution, [n, k] by quantity.
    """

    pair: TokenizedPair
    reference_logps: torch.Tensor
    token_rewards: torch.Tensor
    weights: torch.Tensor
    swapped_weights: torch.Tensor
    reference_values: Mapping[str, torch.Tensor] = field(default_factory=dict)
