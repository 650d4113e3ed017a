"""The step of the paper's code, written again from its description: what it computes and costs.

One padded forward of the policy, one of the reference, one of the reward model, logits of every
position in float32; padded to a multiple of 8.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from tgdpo_core.engine.rows import PairIds

_IGNORED = -100
_MULTIPLE = 8


def official_loss(
    policy: Any, reference: Any, reward: Any, batch: dict[str, torch.Tensor], *, beta: float = 0.1
) -> torch.Tensor:
    """Return the mean loss of a batch by the official formula, alpha 0.5.

    -log sigmoid(sum beta (1 + alpha beta q_r) q |chosen - sum beta (1 - alpha beta q_r) q |rej.)
    with q = log pi/pi_ref and q_r = log pi_reward/pi_ref.
    """
    alpha = 0.5
    chosen, rejected = _token_logps(policy, batch)
    with torch.no_grad():
        ref_chosen, ref_rejected = _token_logps(reference, batch)
        reward_chosen, reward_rejected = _token_logps(reward, batch)
    f_w = 1 + alpha * beta * (reward_chosen - ref_chosen)
    f_l = 1 - alpha * beta * (reward_rejected - ref_rejected)
    margin = (beta * f_w * (chosen - ref_chosen)).sum(-1) - (
        beta * f_l * (rejected - ref_rejected)
    ).sum(-1)
    return -F.logsigmoid(margin).mean()


def collate(pairs: Sequence[PairIds], device: str) -> dict[str, torch.Tensor]:
    """Return the padded batch: all chosen sequences, then all rejected ones."""
    sequences = [(p.prompt, p.chosen) for p in pairs] + [(p.prompt, p.rejected) for p in pairs]
    longest = max(len(prompt) + len(response) for prompt, response in sequences)
    longest = -(-longest // _MULTIPLE) * _MULTIPLE
    shape = (len(sequences), longest)
    batch = {
        "input_ids": torch.zeros(shape, dtype=torch.int64),
        "attention_mask": torch.zeros(shape, dtype=torch.int64),
        "labels": torch.full(shape, _IGNORED),
    }
    for i, (prompt, response) in enumerate(sequences):
        length = len(prompt) + len(response)
        batch["input_ids"][i, :length] = torch.tensor([*prompt, *response])
        batch["attention_mask"][i, :length] = 1
        batch["labels"][i, len(prompt) : length] = torch.tensor(response)
    return {name: value.to(device) for name, value in batch.items()}


def _token_logps(model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return [B, L - 1] log-probs of the labels, 0 elsewhere, of chosen and rejected."""
    logits = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
    ).logits.to(torch.float32)
    labels = batch["labels"][:, 1:]
    mask = labels != _IGNORED
    targets = labels.masked_fill(~mask, 0)
    logps = logits[:, :-1].log_softmax(-1).gather(2, targets[:, :, None]).squeeze(2) * mask
    chosen, rejected = logps.chunk(2)
    return chosen, rejected
