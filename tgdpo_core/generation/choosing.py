"""Which token comes next: the likeliest, or one drawn with the answer's own noise."""

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor

from tgdpo_core.generation.noise import log_exponential


class SeededChoice(LogitsProcessor):
    """Makes the tokens that are to be chosen the largest, for ``generate`` to take greedily.

    Args:
        seeds: of every row; None: greedy.
        num_prompt_tokens: in front of the answers.
        temperature: of the rows with a seed.
        top_p: of these rows.
    """

    def __init__(
        self,
        seeds: Sequence[int | None],
        num_prompt_tokens: int,
        *,
        temperature: float,
        top_p: float,
    ) -> None:
        self._rows = torch.tensor([i for i, seed in enumerate(seeds) if seed is not None])
        self._seeds = torch.tensor([seed for seed in seeds if seed is not None])
        self._start = num_prompt_tokens
        self._temperature = temperature
        self._top_p = top_p

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return [B, V] scores whose maxima are the tokens to take."""
        if not len(self._rows):
            return scores
        self._rows, self._seeds = self._rows.to(scores.device), self._seeds.to(scores.device)
        logits = scores[self._rows] / self._temperature
        if self._top_p < 1:
            logits = likeliest(logits, self._top_p)
        place = input_ids.shape[1] - self._start
        noise = log_exponential(self._seeds, place, logits.shape[1])
        return scores.index_copy(0, self._rows, logits - noise)


def likeliest(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Return logits with -inf for what is not among the likeliest tokens that sum up to ``top_p``.

    The token with which the sum passes ``top_p`` is among them.

    Source: Holtzman et al. (2020), "The curious case of neural text degeneration", section 3.1.
    """
    ordered, places = logits.sort(dim=-1, descending=True)
    before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
    left_out = torch.zeros_like(before, dtype=torch.bool).scatter(1, places, before >= top_p)
    return logits.masked_fill(left_out, float("-inf"))
