"""Which of the judged answers to a prompt become pairs. Pure: the same answers, the same pairs."""

import hashlib
import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tgdpo_core.errors import UsageError
from tgdpo_core.pairing.candidates import Candidate

RuleName = Literal["best-worst", "random-two", "threshold", "margin"]

FEW = "fewer than two answers"
TIE = "tie"
SMALL_GAP = "gap below min-gap"
ONE_SIDED = "all answers on one side of the threshold"


@dataclass(frozen=True)
class Rule:
    """How pairs are chosen.

    Attributes:
        name: ``best-worst``: the highest score against the lowest; ``random-two``: two answers at
            random, the better one chosen; ``threshold``: an answer at random of those with at least
            this score, against one of those below; ``margin``: every two answers that are
            ``min_gap`` apart.
        min_gap: least difference of the two scores; 0: any.
        threshold: of the rule of that name.
        max_pairs: most pairs of a prompt under ``margin``, the largest gaps first; None: all.
        seed: of what is drawn at random, together with the prompt.
    """

    name: RuleName = "best-worst"
    min_gap: float = 0.0
    threshold: float | None = None
    max_pairs: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing together.

        Raises:
            UsageError: what is wrong.
        """
        if not 0 <= self.min_gap < float("inf"):
            raise UsageError(f"min-gap must be 0 or more, got {self.min_gap}.")
        if (self.threshold is not None) != (self.name == "threshold"):
            raise UsageError("The rule threshold and the option --threshold go together.")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise UsageError(f"threshold must be a finite number, got {self.threshold}.")
        if self.max_pairs is not None and self.name != "margin":
            raise UsageError(f"--max-pairs: the rule {self.name} makes one pair of a prompt.")
        if self.name == "margin" and not self.min_gap:
            raise UsageError("The rule margin needs --min-gap: how far apart two answers must be.")


@dataclass(frozen=True)
class ChosenPair:
    """Two answers to a prompt, the first one preferred."""

    chosen: Candidate
    rejected: Candidate

    @property
    def gap(self) -> float:
        """Difference of the scores, above 0."""
        return _score(self.chosen) - _score(self.rejected)


def choose_pairs(
    answers: Sequence[Candidate], rule: Rule, key: str
) -> tuple[list[ChosenPair], str | None]:
    """Return the pairs of a prompt, and why there is none.

    Args:
        answers: to one prompt, each with a score.
        rule: how they are chosen.
        key: names the prompt; what is drawn at random depends on it, and on no other prompt.
    """
    if len(answers) < 2:
        return [], FEW
    draw = random.Random(hashlib.blake2b(f"{rule.seed} {key}".encode()).digest())
    pairs, reason = _RULES[rule.name](answers, rule, draw)
    if reason:
        return [], reason
    unequal = [pair for pair in pairs if pair.gap > 0]
    wide = [pair for pair in unequal if pair.gap >= rule.min_gap]
    if not unequal:
        return [], TIE
    return wide, None if wide else SMALL_GAP


def ranks(answers: Sequence[Candidate]) -> dict[str, int]:
    """Return text to rank by score, 1 for the best; equal scores share the better rank."""
    scores = [_score(answer) for answer in answers]
    return {
        answer.text: 1 + sum(other > score for other in scores)
        for answer, score in zip(answers, scores, strict=True)
    }


_Found = tuple[list[ChosenPair], str | None]


def _best_worst(answers: Sequence[Candidate], _: Rule, __: random.Random) -> _Found:
    # Of equal scores the first one drawn.
    return [ChosenPair(max(answers, key=_score), min(answers, key=_score))], None


def _random_two(answers: Sequence[Candidate], _: Rule, draw: random.Random) -> _Found:
    return [_better_first(*draw.sample(list(answers), 2))], None


def _threshold(answers: Sequence[Candidate], rule: Rule, draw: random.Random) -> _Found:
    assert rule.threshold is not None
    above = [answer for answer in answers if _score(answer) >= rule.threshold]
    below = [answer for answer in answers if _score(answer) < rule.threshold]
    if not above or not below:
        return [], ONE_SIDED
    return [ChosenPair(draw.choice(above), draw.choice(below))], None


def _margin(answers: Sequence[Candidate], rule: Rule, _: random.Random) -> _Found:
    pairs = [_better_first(a, b) for a, b in itertools.combinations(answers, 2)]
    pairs.sort(key=lambda pair: -pair.gap)
    return pairs[: rule.max_pairs], None


_RULES: Mapping[str, Callable[[Sequence[Candidate], Rule, random.Random], _Found]] = {
    "best-worst": _best_worst,
    "random-two": _random_two,
    "threshold": _threshold,
    "margin": _margin,
}


def _better_first(a: Candidate, b: Candidate) -> ChosenPair:
    return ChosenPair(a, b) if _score(a) >= _score(b) else ChosenPair(b, a)


def _score(answer: Candidate) -> float:
    assert answer.score is not None, "only judged answers are compared"
    return answer.score
