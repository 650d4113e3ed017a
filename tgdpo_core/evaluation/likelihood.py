"""How likely a policy finds the responses of preference pairs, through the engine that trains."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch

from tgdpo_core.data.pairs import TokenizedPair
from tgdpo_core.engine.policy import engine_of
from tgdpo_core.models.precision import Precision
from tgdpo_core.plugin_api.judges import PairLikelihood
from tgdpo_core.progress import stage
from tgdpo_core.scoring.passes import pair_ids
from tgdpo_core.scoring.weights import split_sides

_TOKENS_PER_ROW = 8192


def pair_likelihoods(
    model: Any,
    pairs: Sequence[TokenizedPair],
    precision: Precision,
    *,
    label: str,
    most_rows: Callable[[int], int] | None = None,
) -> list[PairLikelihood]:
    """Return the pairs with the log-probs of their response tokens, in their order.

    Args:
        model: a causal language model on its device; it is in eval mode afterwards.
        pairs: in the ids of the model's tokenizer.
        precision: mixed precision or none.
        label: what the progress bar says.
        most_rows: of a sharded model, whose processes meet in every forward: the largest of their
            numbers of rows.
    """
    engine = engine_of(model)
    model.eval()
    ids = [pair_ids(pair) for pair in pairs]
    found: dict[int, PairLikelihood] = {}
    plan = engine.plan(ids, _TOKENS_PER_ROW)
    if most_rows:
        plan = plan[:1] * (most_rows(len(plan)) - len(plan)) + plan
    with stage(label, len(pairs), "pair") as bar:
        for indices in plan:
            row = engine.row([ids[i] for i in indices]).to(model.device)
            with precision.active(model.device):
                flat = engine.through_model(row).float().cpu()
            parts = flat.split([pairs[i].num_response_tokens for i in indices])
            found |= {
                i: pair_likelihood(pairs[i], part) for i, part in zip(indices, parts, strict=True)
            }
            bar.update(len(indices))
    return [found[i] for i in range(len(pairs))]


def pair_likelihood(pair: TokenizedPair, logps: torch.Tensor) -> PairLikelihood:
    """Return a pair as judges see it; it is theirs to change.

    Args:
        pair: the pair.
        logps: [n] log-probs of its response tokens, chosen tokens first.
    """
    chosen, rejected = split_sides(logps, pair)
    return PairLikelihood(
        prompt=copy.deepcopy(pair.pair.prompt),
        chosen=pair.chosen.text,
        rejected=pair.rejected.text,
        chosen_logps=tuple(chosen.tolist()),
        rejected_logps=tuple(rejected.tolist()),
        columns=copy.deepcopy(dict(pair.pair.columns)),
    )
