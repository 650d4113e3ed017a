"""Responses of a model to playground prompts, by the ``generate`` of transformers."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tgdpo_plugins.playground.task import check_text, split_pieces, stated_result
from tgdpo_plugins.playground.tokenizer import MAX_NUM_TOKENS

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

MAX_NEW_TOKENS = 32  # a right answer has 26 at most; fewer behind a part of an answer
BATCH_SIZE = 256


def respond(
    model: "LlamaForCausalLM",
    tokenizer: "PreTrainedTokenizerFast",
    *,
    prompts: Sequence[str],
    seed: int | None,
) -> list[str | None]:
    """Return one response per prompt, without EOS; None where the model did not end it.

    Args:
        model: the model that answers.
        tokenizer: its tokenizer.
        prompts: prompts, or beginnings of answers with them, of one number of tokens.
        seed: sample at temperature 1 with this seed; None is greedy decoding.
    """
    import torch

    # The caller's random state stays as it is.
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        batches = (prompts[i : i + BATCH_SIZE] for i in range(0, len(prompts), BATCH_SIZE))
        return [
            response
            for batch in batches
            for response in _respond_to_batch(model, tokenizer, batch, seed is not None)
        ]


def solved_rate(prompts: Sequence[str], responses: Sequence[str | None]) -> float:
    """Return the share of responses that solve their prompts."""
    num_solved = sum(
        response is not None and check_text(prompt, response).solved
        for prompt, response in zip(prompts, responses, strict=True)
    )
    return num_solved / len(prompts)


def sampled_results(
    model: "LlamaForCausalLM",
    tokenizer: "PreTrainedTokenizerFast",
    *,
    texts: Sequence[str],
    num_samples: int,
    seeds: Iterator[int],
) -> dict[str, list[str | None]]:
    """Return the results that the model comes to from each text; None where it comes to none.

    Args:
        model: the model that goes on.
        tokenizer: its tokenizer.
        texts: prompts, or beginnings of answers with them, of any length.
        num_samples: how many times each text is continued, at temperature 1.
        seeds: one is taken for every length of a text, so that nothing has to be padded.
    """
    results: dict[str, list[str | None]] = {text: [] for text in texts}
    for _, some in groupby(sorted(results, key=_num_pieces), key=_num_pieces):
        repeated = [text for text in some for _ in range(num_samples)]
        responses = respond(model, tokenizer, prompts=repeated, seed=next(seeds))
        for text, response in zip(repeated, responses, strict=True):
            results[text].append(None if response is None else stated_result(text + response))
    return results


def _num_pieces(text: str) -> int:
    return len(split_pieces(text))


def _respond_to_batch(
    model: "LlamaForCausalLM",
    tokenizer: "PreTrainedTokenizerFast",
    prompts: Sequence[str],
    do_sample: bool,
) -> Iterator[str | None]:
    encoded = tokenizer(list(prompts), return_tensors="pt")
    num_prompt_tokens = encoded["input_ids"].shape[1]
    generator: Any = model  # transformers types generate for a class that no model belongs to
    output = generator.generate(
        **encoded,
        do_sample=do_sample,
        temperature=1.0 if do_sample else None,
        top_k=0 if do_sample else None,
        max_new_tokens=min(MAX_NEW_TOKENS, MAX_NUM_TOKENS - num_prompt_tokens),
    )
    for ids in output[:, num_prompt_tokens:].tolist():
        if tokenizer.eos_token_id in ids:
            yield str(tokenizer.decode(ids[: ids.index(tokenizer.eos_token_id)]))
        else:
            yield None
