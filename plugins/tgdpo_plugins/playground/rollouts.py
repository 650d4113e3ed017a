"""Answers that a world's base model samples to prompts of no split."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from tgdpo_plugins.playground.dataset import Playground
from tgdpo_plugins.playground.sampling import respond
from tgdpo_plugins.playground.splits import SPLITS
from tgdpo_plugins.playground.task import Verdict, check_text, make_prompt
from tgdpo_plugins.playground.tokenizer import BOS, PAD


@dataclass(frozen=True)
class Rollout:
    """A prompt and an answer that was ended."""

    prompt: str
    response: str

    @cached_property
    def verdict(self) -> Verdict:
        """What the checker says about the tokens of the answer, EOS included."""
        return check_text(self.prompt, self.response)


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
    """Return one answer per prompt, sampled at temperature 1.

    Left out are endless answers, and those with a token that is no piece of the task (BOS, PAD): a
    label per piece would not fit their tokens.
    """
    some = list(islice(prompts, num_rollouts))
    responses = respond(model, tokenizer, prompts=some, seed=seed)
    return [
        Rollout(prompt, response)
        for prompt, response in zip(some, responses, strict=True)
        if response is not None and BOS not in response and PAD not in response
    ]
