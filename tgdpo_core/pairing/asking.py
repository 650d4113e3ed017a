"""A judge as the function that pairs are made with: of answers one by one, or two at a time."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from tgdpo_core.errors import UsageError
from tgdpo_core.pairing.making import AskAll
from tgdpo_core.pairing.round_robin import comparisons, won_shares
from tgdpo_core.pairing.verdicts import Asked, KeptVerdicts, verdicts
from tgdpo_core.plugin_api.judges import Generation, Judge, Verdict

T = TypeVar("T")


def require_judge_of_answers(name: str, judge: Judge) -> None:
    """Raise ``UsageError`` for a judge that reads no answers."""
    if judge.reads == "pairs":
        raise UsageError(
            f"judge '{name}' reads the likelihoods of given pairs and says nothing of answers. "
            "Choose another --judge: tgdpo plugins list."
        )


def asks(
    judge: tuple[str, Judge],
    kept: KeptVerdicts,
    *,
    together: int,
    on_start: Callable[[int], object] = lambda _: None,
    on_batch: Callable[[int], object] = lambda _: None,
) -> AskAll:
    """Return the function that asks a judge about the answers to prompts.

    A judge of comparisons is asked about every two answers to a prompt in both orders; the score of
    an answer is the share of its comparisons that it wins.

    Args:
        judge: a judge that is set up, with its name.
        kept: what it said before.
        together: most that it is asked about at once.
        on_start: is told how much it is asked about in all, kept verdicts included.
        on_batch: is told how much was asked.
    """
    in_pairs = judge[1].reads == "comparisons"

    def ask(answers: Sequence[Sequence[Generation]]) -> list[list[Verdict]]:
        items: list[list[Asked]] = [[*comparisons(a)] if in_pairs else [*a] for a in answers]
        flat = [item for some in items for item in some]
        on_start(len(flat))
        said = verdicts(judge, flat, kept, together=together, on_batch=on_batch)
        parts = _split(said, [len(some) for some in items])
        if not in_pairs:
            return list(parts)
        return [won_shares(len(a), part) for a, part in zip(answers, parts, strict=True)]

    return ask


def _split(values: Sequence[T], lengths: Sequence[int]) -> Iterator[list[T]]:
    rest = iter(values)
    for length in lengths:
        yield list(itertools.islice(rest, length))
