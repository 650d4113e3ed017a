"""A small reward model of tokens, from a world's base model and its rollouts.

It is an ordinary token-classification checkpoint. Of its two labels, 1 is the good one, as in the
process reward models of the field, so that ``dense-prm`` reads it as it is.

Legend: S rollouts, T tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tgdpo_core.prm import IGNORED, fit, soft_cross_entropy
from tgdpo_plugins.playground.rollouts import Rollout
from tgdpo_plugins.playground.tokenizer import EOS

if TYPE_CHECKING:
    import torch
    from transformers import (
        LlamaForTokenClassification,
        PreTrainedTokenizerFast,
    )

BATCH_SIZE = 64
LEARNING_RATE = 1e-3


class LabelledTokens(NamedTuple):
    """Rollouts as tensors, padded on the right.

    Attributes:
        ids: [S, T] int64: BOS, prompt, response and EOS.
        labels: [S, T] float32: the probability of the good label, or IGNORED.
    """

    ids: "torch.Tensor"
    labels: "torch.Tensor"


def label_tokens(
    tokenizer: "PreTrainedTokenizerFast",
    rollouts: Sequence[Rollout],
    labels: Sequence[Sequence[float]],
) -> LabelledTokens:
    """Return the rollouts with labels on their last tokens; the others are IGNORED.

    Args:
        tokenizer: the playground's.
        rollouts: S rollouts.
        labels: of the last tokens of each, EOS included.
    """
    import torch

    texts = [rollout.prompt + rollout.response + EOS for rollout in rollouts]
    encoded = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    ids_ST = torch.as_tensor(encoded["input_ids"])
    labels_ST = torch.full(ids_ST.shape, float(IGNORED))
    lengths = encoded["attention_mask"].sum(-1).tolist()
    for row, (length, some) in enumerate(zip(lengths, labels, strict=True)):
        labels_ST[row, length - len(some) : length] = torch.tensor(some, dtype=torch.float32)
    return LabelledTokens(ids_ST, labels_ST)


def train_classifier(
    model: "LlamaForTokenClassification",
    data: LabelledTokens,
    *,
    num_epochs: int,
    seed: int,
    on_step: Callable[[float], None],
) -> None:
    """Train the classifier.

    Args:
        model: is changed in place.
        data: what to learn.
        num_epochs: how often every rollout is seen.
        seed: of the order of the rollouts.
        on_step: is called after every step with its loss.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    num_rollouts = len(data.ids)

    def batches() -> "Iterator[tuple[torch.Tensor, torch.Tensor]]":
        for _ in range(num_epochs):
            for rows in torch.randperm(num_rollouts, generator=generator).split(BATCH_SIZE):
                yield data.ids[rows], data.labels[rows]

    fit(
        model,
        batches(),
        loss_of=lambda ids_ST, labels_ST: soft_cross_entropy(
            model(input_ids=ids_ST).logits, labels_ST
        ),
        num_steps=num_steps(num_rollouts, num_epochs),
        learning_rate=LEARNING_RATE,
        on_step=on_step,
    )


def num_steps(num_rollouts: int, num_epochs: int) -> int:
    """Return how many steps a training has."""
    return num_epochs * -(-num_rollouts // BATCH_SIZE)


def good_probabilities(
    model: "LlamaForTokenClassification", ids_ST: "torch.Tensor"
) -> "torch.Tensor":
    """Return the probability of the good label at every token, [S, T] float32."""
    import torch

    with torch.no_grad():
        chunks = [model(input_ids=some).logits.softmax(-1)[..., 1] for some in ids_ST.split(512)]
    return torch.cat(chunks)
