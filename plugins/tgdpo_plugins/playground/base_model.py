"""The playground's base model: a small Llama, trained on right answers, then on imperfect ones.

The first half teaches it the task, the second half the demonstrator's defects. What comes out is
to a preference method what an instruction model is: it knows the form and most of the content.

Legend: S sequences, T tokens.
"""

import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tgdpo_core.prm import IGNORED, fit
from tgdpo_plugins.playground.task import make_prompt
from tgdpo_plugins.playground.tokenizer import MAX_NUM_TOKENS, TOKENS

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

NUM_TRAINING_STEPS = 500  # on each kind of answers
BATCH_SIZE = 64
LEARNING_RATE = 3e-3

Answer = Callable[[str, random.Random], str]


def make_model(tokenizer: "PreTrainedTokenizerFast", *, seed: int) -> "LlamaForCausalLM":
    """Return the model before training."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=MAX_NUM_TOKENS,
        # About 1/sqrt(hidden_size); with the default, 0.02, the task is learnt later.
        initializer_range=0.1,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    return LlamaForCausalLM(config)


def train(
    model: "LlamaForCausalLM",
    tokenizer: "PreTrainedTokenizerFast",
    *,
    answers: tuple[Answer, ...],
    rng: random.Random,
    on_step: Callable[[float], None],
) -> None:
    """Train the model on fresh prompts, in one phase per kind of answers.

    Args:
        model: is changed in place.
        tokenizer: the playground's.
        answers: for each phase, the function that answers a prompt.
        rng: draws the prompts and the answers.
        on_step: is called after every step with its loss.
    """
    num_steps = NUM_TRAINING_STEPS * len(answers)

    def batches() -> "Iterator[tuple[torch.Tensor, torch.Tensor]]":
        for step in range(num_steps):
            yield _draw_batch(tokenizer, answers[step // NUM_TRAINING_STEPS], rng)

    def loss_of(ids_ST: "torch.Tensor", labels_ST: "torch.Tensor") -> "torch.Tensor":
        loss: torch.Tensor = model(input_ids=ids_ST, labels=labels_ST).loss
        return loss

    fit(
        model,
        batches(),
        loss_of=loss_of,
        num_steps=num_steps,
        learning_rate=LEARNING_RATE,
        on_step=on_step,
    )


def _draw_batch(
    tokenizer: "PreTrainedTokenizerFast", answer: Answer, rng: random.Random
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Return ids and labels, both [S, T]; only answers and their EOS have labels."""
    import torch

    prompts = [make_prompt(rng) for _ in range(BATCH_SIZE)]
    texts = [prompt + answer(prompt, rng) + tokenizer.eos_token for prompt in prompts]
    encoded = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    ids_ST, mask_ST = encoded["input_ids"], encoded["attention_mask"]
    labels_ST = ids_ST.masked_fill(mask_ST == 0, IGNORED)
    num_prompt_tokens = len(tokenizer(prompts[0])["input_ids"])  # the same for every prompt
    labels_ST[:, :num_prompt_tokens] = IGNORED
    return torch.as_tensor(ids_ST), torch.as_tensor(labels_ST)
