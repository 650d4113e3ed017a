"""Answers of a model to prompts, through transformers' ``generate``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tqdm.auto import tqdm

from tgdpo_core.data.model_text import encode_prompts
from tgdpo_core.data.pairs import PreferencePair


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn.

    Attributes:
        max_new_tokens: longest answer.
        samples: random answers per prompt, beside the greedy one.
        temperature: of the random answers; the whole distribution is sampled (no top-k, no top-p).
        seed: of the random answers.
        batch_size: prompts answered together.
    """

    max_new_tokens: int = 256
    samples: int = 1
    temperature: float = 1.0
    seed: int = 0
    batch_size: int = 64


@dataclass(frozen=True)
class Answers:
    """The texts that a model gave to one prompt."""

    greedy: str
    sampled: Sequence[str]


@dataclass(frozen=True)
class GeneratedBatch:
    """Random answers as token ids.

    Attributes:
        ids: [B, P + T] int64, prompts (padded on the left) and answers.
        prompt_mask: [B, P] int64, 0 where a prompt is padded.
    """

    ids: torch.Tensor
    prompt_mask: torch.Tensor


@torch.no_grad()
def answer(
    model: Any,
    tokenizer: Any,
    pairs: Sequence[PreferencePair],
    sampling: Sampling,
    *,
    label: str,
    observe: Callable[[GeneratedBatch], None] | None = None,
) -> list[Answers]:
    """Return the answers to the prompts of pairs, in their order.

    The random state of the caller stays as it is.

    Args:
        model: a causal language model, on its device.
        tokenizer: its tokenizer.
        pairs: only their prompts are read.
        sampling: how answers are drawn.
        label: what the progress bar says.
        observe: is shown every batch of random answers.
    """
    model.eval()
    answers: list[Answers] = []
    devices = [model.device] if model.device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices),
        tqdm(total=len(pairs), desc=label, unit="prompt", leave=None) as bar,
    ):
        torch.manual_seed(sampling.seed)
        for start in range(0, len(pairs), sampling.batch_size):
            batch = pairs[start : start + sampling.batch_size]
            inputs = _encode(tokenizer, batch).to(model.device)
            greedy, _ = _generate(model, tokenizer, inputs, sampling, do_sample=False)
            draws = []
            for _ in range(sampling.samples):
                texts, generated = _generate(model, tokenizer, inputs, sampling, do_sample=True)
                draws.append(texts)
                if observe:
                    observe(generated)
            answers += [Answers(text, [d[i] for d in draws]) for i, text in enumerate(greedy)]
            bar.update(len(batch))
    return answers


def _encode(tokenizer: Any, pairs: Sequence[PreferencePair]) -> Any:
    return tokenizer.pad(
        {"input_ids": encode_prompts(pairs, tokenizer)},
        padding_side="left",
        return_tensors="pt",
    )


def _generate(
    model: Any, tokenizer: Any, inputs: Any, sampling: Sampling, *, do_sample: bool
) -> tuple[list[str], GeneratedBatch]:
    how = {"temperature": sampling.temperature, "top_k": 0, "top_p": 1.0} if do_sample else {}
    output = model.generate(
        **inputs,
        do_sample=do_sample,
        max_new_tokens=sampling.max_new_tokens,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **how,
    )
    new = output[:, inputs["input_ids"].shape[1] :]
    texts: list[str] = tokenizer.batch_decode(new, skip_special_tokens=True)
    return texts, GeneratedBatch(output, inputs["attention_mask"])
