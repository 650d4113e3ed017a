"""A judge as the function that pairs are made with: of answers one by one, or two at a time."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TypeVar

from tgdpo_core.errors import UsageError
from tgdpo_core.evaluation.opinions import Asked, AskedJudge
from tgdpo_core.pairing.making import AskAll
from tgdpo_core.pairing.round_robin import comparisons, won_shares
from tgdpo_core.plugin_api.judges import Generation, Judge, Verdict

T = TypeVar("T")


def require_judge_of_answers(name: str, judge: Judge) -> None:
    """Raise ``UsageError`` for a judge that reads no answers."""
    if judge.reads == "pairs":
        raise UsageError(
            f"judge '{name}' reads the likelihoods of given pairs and says nothing of answers. "
            "Choose another --judge: tgdpo plugins list."
        )


def asks(judge: AskedJudge) -> AskAll:
    """Return the function that asks a judge about the answers to prompts.

    A judge of comparisons is asked about every two answers to a prompt in both orders; the score of
    an answer is the share of its comparisons that it wins.
    """
    in_pairs = judge.named.reads == "comparisons"

    def ask(answers: Sequence[Sequence[Generation]]) -> list[list[Verdict]]:
        items: list[list[Asked]] = [[*comparisons(a)] if in_pairs else [*a] for a in answers]
        flat = [item for some in items for item in some]
        parts = _split(judge.verdicts(flat), [len(some) for some in items])
        if not in_pairs:
            return list(parts)
        return [won_shares(len(a), part) for a, part in zip(answers, parts, strict=True)]

    return ask


def _split(values: Sequence[T], lengths: Sequence[int]) -> Iterator[list[T]]:
    rest = iter(values)
    for length in lengths:
        yield list(itertools.islice(rest, length))
