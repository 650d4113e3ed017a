"""A small reward model of tokens, from a world's base model and its rollouts.

It is an ordinary token-classification checkpoint. Of its two labels, 1 is the good one, as in the
process reward models of the field, so that ``dense-prm`` reads it as it is.

Legend: S rollouts, T tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from tgdpo_plugins.playground.fitting import IGNORED, fit
from tgdpo_plugins.playground.rollouts import Rollout
from tgdpo_plugins.playground.task import Label
from tgdpo_plugins.playground.tokenizer import EOS

if TYPE_CHECKING:
    import torch
    from transformers import (
        LlamaForCausalLM,
        LlamaForTokenClassification,
        PreTrainedTokenizerFast,
    )

Target = Literal["steps", "outcome"]
LABELS: dict[Target, dict[int, str]] = {
    "steps": {0: "error", 1: "ok"},
    "outcome": {0: "wrong", 1: "right"},
}
BATCH_SIZE = 64
LEARNING_RATE = 1e-3


class LabelledTokens(NamedTuple):
    """Rollouts as tensors, both [S, T] int64, padded on the right.

    Attributes:
        ids: BOS, prompt, response and EOS.
        labels: one per token, or IGNORED.
    """

    ids: "torch.Tensor"
    labels: "torch.Tensor"


def make_classifier(
    base_model: "LlamaForCausalLM", target: Target, *, seed: int
) -> "LlamaForTokenClassification":
    """Return a token classifier with the weights of a causal model and a new head."""
    import torch
    from transformers import LlamaConfig, LlamaForTokenClassification

    names = LABELS[target]
    config = LlamaConfig.from_dict(
        base_model.config.to_dict(),
        id2label=names,
        label2id={name: index for index, name in names.items()},
    )
    config.classifier_dropout = 0.0
    # The caller's random state stays as it is.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForTokenClassification(config)
    model.model.load_state_dict(base_model.model.state_dict())
    return model


def label_tokens(
    tokenizer: "PreTrainedTokenizerFast", rollouts: Sequence[Rollout], target: Target
) -> LabelledTokens:
    """Return the rollouts with a label for every token of the response, EOS included.

    steps     0 at an error, 1 at what is right or free; IGNORED behind a broken form, where
              the checker has no opinion
    outcome   1 everywhere if the whole answer is right, else 0: what a value model learns;
              the prompt's last token has it too, the value of which is that of the prompt
    """
    import torch

    texts = [rollout.prompt + rollout.response + EOS for rollout in rollouts]
    encoded = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    ids_ST = torch.as_tensor(encoded["input_ids"])
    labels_ST = torch.full_like(ids_ST, IGNORED)
    for rollout, length, labels_T in zip(
        rollouts, encoded["attention_mask"].sum(-1).tolist(), labels_ST, strict=True
    ):
        labels = _labels(rollout, target)
        labels_T[length - len(labels) : length] = torch.tensor(labels)
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


def _labels(rollout: Rollout, target: Target) -> list[int]:
    labels = rollout.verdict.labels
    if target == "outcome":
        return [int(rollout.verdict.solved)] * (1 + len(labels))
    other_than_good = {Label.ERROR: 0, Label.AFTER_BREAK: IGNORED}
    return [other_than_good.get(label, 1) for label in labels]
