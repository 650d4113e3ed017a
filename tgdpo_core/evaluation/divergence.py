"""How far a policy has moved: KL divergence to the reference on the policy's own samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tgdpo_core.engine import attention
from tgdpo_core.errors import UsageError
from tgdpo_core.generation.engine import Drawn
from tgdpo_core.models.precision import Precision

_MOST_LOGITS = 2**22  # of one place in all sequences of a batch
_MOST_SEQUENCES = 64


@dataclass(frozen=True)
class Sampled:
    """A prompt and a random answer of the policy, as token ids.

    Attributes:
        prompt: ids of the prompt.
        answer: ids of the answer, the one that ended it included: its choice is a state that
            counts.
    """

    prompt: Sequence[int]
    answer: Sequence[int]


def sampled_kl(
    policy: Any, reference: Any, samples: Sequence[Sampled], precision: Precision
) -> list[float]:
    """Return the KL(pi || pi_ref) of every sample, nats.

        sum_t KL(pi(. | s_t) || pi_ref(. | s_t))

    Each term is exact over the vocabulary, only the states s_t are sampled, so that the mean over
    samples is unbiased and varies less than that of their log-ratios. Both models are called in one
    precision: in two, a policy would differ from its equal by rounding.

    Args:
        policy: what answered.
        reference: what it is compared with, on the same device, its weights in the same format.
        samples: of the policy. Processes of a sharded policy must have equally many.
        precision: mixed precision or none.
    """
    vocabulary = policy.config.get_text_config().vocab_size
    together = max(1, min(_MOST_SEQUENCES, _MOST_LOGITS // vocabulary))
    order = sorted(range(len(samples)), key=lambda i: -_length(samples[i]))
    found = [0.0] * len(samples)
    with (
        precision.active(policy.device),
        attention.use(policy, attention.plain_implementation(policy)),
    ):
        for start in range(0, len(order), together):
            numbers = order[start : start + together]
            sums = _of_batch(policy, reference, [samples[i] for i in numbers])
            for number, value in zip(numbers, sums.tolist(), strict=True):
                found[number] = value
    return found


def require_same_formats(policy: torch.dtype, reference: torch.dtype) -> None:
    """Raise ``UsageError`` for weights in two number formats: their KL holds the rounding."""
    if policy != reference:
        names = [str(each).removeprefix("torch.") for each in (policy, reference)]
        raise UsageError(
            f"KL: the policy's weights are {names[0]}, the reference's {names[1]}; their rounding "
            "would count as divergence. Give a reference in the policy's format."
        )


def _length(sample: Sampled) -> int:
    return len(sample.prompt) + len(sample.answer)


def _of_batch(policy: Any, reference: Any, batch: Sequence[Sampled]) -> torch.Tensor:
    """Return [B] float32 sums over the states of each response."""
    longest = max(map(_length, batch))
    ids = torch.zeros((len(batch), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    counts = torch.zeros_like(ids)  # 1 at the states in which a token of the answer is chosen
    for row, sample in enumerate(batch):
        length = _length(sample)
        ids[row, :length] = torch.tensor([*sample.prompt, *sample.answer])
        mask[row, :length] = 1
        counts[row, len(sample.prompt) - 1 : length - 1] = 1
    ids, mask, counts = (each.to(policy.device) for each in (ids, mask, counts))
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    first = min(len(sample.prompt) for sample in batch) - 1
    states = counts[:, first:-1]
    logs = [
        model(input_ids=ids, attention_mask=mask, position_ids=positions)
        .logits[:, first:-1]
        .float()
        .log_softmax(-1)
        for model in (policy, reference)
    ]
    kl = (logs[0].exp() * (logs[0] - logs[1])).sum(-1)
    return (kl * states).sum(1).cpu()


def samples_of(
    prompts: Sequence[Sequence[int]], drawn: Sequence[Sequence[Drawn]]
) -> list[list[Sampled]]:
    """Return the random answers to each prompt.

    Args:
        prompts: ids of each prompt.
        drawn: the answers to each, with their ids.
    """
    return [
        [Sampled(ids, each.ids or ()) for each in answers if each.answer.seed is not None]
        for ids, answers in zip(prompts, drawn, strict=True)
    ]
