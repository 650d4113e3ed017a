"""How far a policy has moved: KL divergence to the reference on the policy's own samples."""

from collections.abc import Collection
from typing import Any

import torch

from tgdpo_core.evaluation.generation import GeneratedBatch
from tgdpo_core.generation.stopping import until_stop

_SEQUENCES = 64  # whose logits exist at once


class SampledKL:
    """Collects KL(pi || pi_ref) per response over batches of the policy's samples.

        mean over responses of sum_t KL(pi(. | s_t) || pi_ref(. | s_t)),  in nats

    Each term is exact over the vocabulary, only the states s_t are sampled, so the estimate is
    unbiased and varies less than the mean log-ratio of the samples. Both models must be called in
    the same number format, or a policy differs from its equal by rounding: mixed precision goes
    around ``add``.

    Args:
        policy: what answered.
        reference: what it is compared with, on the same device.
        stop_ids: end a response; the choice of one is a state that counts, what follows is not.
    """

    def __init__(self, policy: Any, reference: Any, *, stop_ids: Collection[int]) -> None:
        self._policy = policy
        self._reference = reference
        self._stops = stop_ids
        self._sums: list[torch.Tensor] = []

    def add(self, batch: GeneratedBatch) -> None:
        """Take the responses of a batch into the mean."""
        for start in range(0, len(batch.ids), _SEQUENCES):
            part = slice(start, start + _SEQUENCES)
            self._sums.append(self._per_response(batch.ids[part], batch.prompt_mask[part]))

    def responses(self) -> list[float]:
        """Return the KL of every response so far."""
        return torch.cat(self._sums).tolist() if self._sums else []

    @torch.no_grad()
    def _per_response(self, ids: torch.Tensor, prompt_mask: torch.Tensor) -> torch.Tensor:
        """Return [B] float32 sums over the states of each response."""
        num_prompt_tokens = prompt_mask.shape[1]
        counts = until_stop(ids[:, num_prompt_tokens:], self._stops)
        mask = torch.cat([prompt_mask, counts.to(prompt_mask.dtype)], dim=1)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        logs = [
            model(input_ids=ids, attention_mask=mask, position_ids=positions)
            .logits[:, num_prompt_tokens - 1 : -1]
            .float()
            .log_softmax(-1)
            for model in (self._policy, self._reference)
        ]
        kl = (logs[0].exp() * (logs[0] - logs[1])).sum(-1)
        return (kl * counts).sum(1).cpu()
