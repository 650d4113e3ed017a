"""How answers are drawn: settings, and a seed for each answer that depends on nothing else."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from tgdpo_core.errors import UsageError

Form = Literal["auto", "chat", "raw"]

_SEED_BYTES = 6  # below 2**53, which JSON of every language holds, and 2**63, which engines take


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn.

    Attributes:
        samples: random answers a prompt.
        greedy: also the greedy answer, in front of them.
        temperature: of the random answers.
        top_p: the random answers are drawn from the likeliest tokens whose probabilities sum up to
            it; 1: from all.
        max_new_tokens: longest answer.
        seed: of the random answers; each has one of its own, made from it (``seed_of``).
        system: text of a system message that goes in front of every prompt, or None.
        form: ``chat``: a prompt of text is a user's message; ``raw``: text is gone on from as it
            is, messages are refused; ``auto``: as the rows are, text raw and messages as chat.

    Raises:
        UsageError: nothing would be drawn, or a number is out of range.
    """

    samples: int = 1
    greedy: bool = False
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 256
    seed: int = 0
    system: str | None = None
    form: Form = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if self.samples < 0 or (not self.samples and not self.greedy):
            raise UsageError("No answer would be drawn: ask for samples or for the greedy answer.")
        if not 0 < self.temperature < float("inf"):
            raise UsageError(
                f"temperature must be above 0, got {self.temperature:g}. The likeliest token is "
                "what the greedy answer takes."
            )
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p must be above 0 and at most 1, got {self.top_p:g}.")
        if self.max_new_tokens < 1:
            raise UsageError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}.")
        if self.system and self.form == "raw":
            raise UsageError("A system message is for chats: leave out raw, or the system message.")

    @property
    def draws(self) -> tuple[int | None, ...]:
        """The numbers of the answers to one prompt; None is the greedy one."""
        return (*((None,) if self.greedy else ()), *range(self.samples))


def seed_of(seed: int, prompt_key: str, sample: int | None) -> int | None:
    """Return the seed of one answer: the same whatever else is drawn, in whichever order.

    Two models answer a prompt with the same seeds, so that their difference varies less.

    Args:
        seed: of the command.
        prompt_key: names the prompt by its content.
        sample: number of the answer; None: greedy, which has no seed.
    """
    if sample is None:
        return None
    named = f"{seed}:{prompt_key}:{sample}".encode()
    return int.from_bytes(hashlib.blake2b(named, digest_size=_SEED_BYTES).digest(), "big")
