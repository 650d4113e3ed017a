"""Answers that a world's base model samples, and what the checker says about every token."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tgdpo_plugins.playground.dataset import Playground
from tgdpo_plugins.playground.sampling import respond
from tgdpo_plugins.playground.splits import SPLITS
from tgdpo_plugins.playground.task import Verdict, check_text, make_prompt


@dataclass(frozen=True)
class Rollout:
    """A prompt, an answer that was ended, and the verdict on its tokens, EOS included."""

    prompt: str
    response: str
    verdict: Verdict


def fresh_prompts(world: Playground, rng: random.Random) -> Iterator[str]:
    """Return prompts without end, none twice, and none that a split of the world has."""
    seen = {row["prompt"] for split in SPLITS for row in world.rows(split)}
    while True:
        prompt = make_prompt(rng)
        if prompt not in seen:
            seen.add(prompt)
            yield prompt


def sample_rollouts(
    model: Any, tokenizer: Any, prompts: Iterator[str], *, num_rollouts: int, seed: int
) -> list[Rollout]:
    """Return one answer per prompt, sampled at temperature 1; endless ones are left out."""
    some = list(islice(prompts, num_rollouts))
    responses = respond(model, tokenizer, prompts=some, seed=seed)
    return [
        Rollout(prompt, response, check_text(prompt, response))
        for prompt, response in zip(some, responses, strict=True)
        if response is not None
    ]
