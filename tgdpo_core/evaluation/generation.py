"""Answers of a model to prompts, through transformers' ``generate``.

What is sampled is what ``Sampling`` says and nothing else: settings of the model's
generation_config.json (temperature, top-k, top-p, penalties, suppressed tokens, lengths) have no
effect, because the scores of two models would otherwise be of two different procedures. Only the
ids that end an answer are taken from there, see ``stop_ids``.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tqdm.auto import tqdm

from tgdpo_core.data.model_text import encode_prompts
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.engine import attention
from tgdpo_core.generation.stopping import is_stop, say_once, stop_ids, until_stop

# What generation_config.json says beside how an answer is drawn; `stop_ids` reads the EOS.
_NO_SAMPLING = (
    "_",
    "bos_",
    "cache_",
    "do_sample",
    "eos_",
    "output_",
    "pad_",
    "return_",
    "transformers_",
    "use_cache",
)


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
    stops = stop_ids(model, tokenizer)
    greedily = _config(sampling, stops, tokenizer, do_sample=False)
    at_random = _config(sampling, stops, tokenizer, do_sample=True)
    answers: list[Answers] = []
    devices = [model.device] if model.device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices),
        tqdm(total=len(pairs), desc=label, unit="prompt", leave=None) as bar,
        _own_settings_unused(model),
        # Of a model wrapped by peft, `generate` goes past the forward that would put it back.
        attention.use(model, attention.plain_implementation(model)),
    ):
        torch.manual_seed(sampling.seed)
        for start in range(0, len(pairs), sampling.batch_size):
            batch = pairs[start : start + sampling.batch_size]
            inputs = _encode(tokenizer, batch).to(model.device)
            greedy = _texts(tokenizer, _generate(model, inputs, greedily), stops)
            draws = []
            for _ in range(sampling.samples):
                generated = _generate(model, inputs, at_random)
                draws.append(_texts(tokenizer, generated, stops))
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


@contextlib.contextmanager
def _own_settings_unused(model: Any) -> Iterator[None]:
    """Put an empty generation config in place of the model's, of which ``generate`` fills in all
    that a call leaves unset; say once what is not used.
    """
    from transformers import GenerationConfig

    owner = model.get_base_model() if hasattr(model, "get_base_model") else model  # peft
    own = owner.generation_config
    settings = {
        name: value
        for name, value in own.to_diff_dict().items()
        if value is not None and not name.startswith(_NO_SAMPLING)
    }
    if settings:
        said = ", ".join(f"{name}={value}" for name, value in sorted(settings.items()))
        say_once(f"The model's generation_config.json is not used for its answers: {said}.")
    owner.generation_config = GenerationConfig()
    try:
        yield
    finally:
        owner.generation_config = own


def _config(sampling: Sampling, stops: Sequence[int], tokenizer: Any, *, do_sample: bool) -> Any:
    """Return how ``generate`` is to draw."""
    from transformers import GenerationConfig

    how = {"temperature": sampling.temperature, "top_k": 0, "top_p": 1.0} if do_sample else {}
    return GenerationConfig(
        do_sample=do_sample,
        max_new_tokens=sampling.max_new_tokens,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=list(stops),
        **how,
    )


def _generate(model: Any, inputs: Any, how: Any) -> GeneratedBatch:
    """Return one answer to each prompt."""
    # Processes of a sharded model meet at every token, until the last of them is done.
    ids = model.generate(**inputs, generation_config=how, synced_gpus=is_sharded(model))
    return GeneratedBatch(ids, inputs["attention_mask"])


def is_sharded(model: Any) -> bool:
    """Return whether the weights of a model lie in several processes (FSDP)."""
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel

    return isinstance(model, FSDPModule | FullyShardedDataParallel)


def _texts(tokenizer: Any, batch: GeneratedBatch, stops: Sequence[int]) -> list[str]:
    """Return the answers as text, without the token that ended them: it may be any token."""
    answers = batch.ids[:, batch.prompt_mask.shape[1] :]
    kept = until_stop(answers, stops) & ~is_stop(answers, stops)
    return [
        tokenizer.decode(row[keep], skip_special_tokens=True)
        for row, keep in zip(answers.cpu(), kept.cpu(), strict=True)
    ]
