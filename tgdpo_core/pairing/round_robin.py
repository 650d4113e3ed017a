"""Scores from comparisons: every answer to a prompt against every other, in both orders."""

import itertools
import statistics
from collections.abc import Sequence

from tgdpo_core.evaluation.both_orders import in_both_orders, paired
from tgdpo_core.plugin_api.judges import Comparison, Generation, Unjudged, Verdict


def comparisons(answers: Sequence[Generation]) -> list[Comparison]:
    """Return every two answers to a prompt in both orders: n (n - 1) comparisons of n answers."""
    pairs = itertools.combinations(answers, 2)
    return in_both_orders([Comparison(first, second) for first, second in pairs])


def won_shares(num_answers: int, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return of each answer which share of its comparisons it won, a tie being half a win.

    Args:
        num_answers: n, answers to the prompt.
        verdicts: what the judge said of ``comparisons(answers)``.

    Returns:
        0 to 1 each; ``Unjudged`` for an answer none of whose comparisons was judged in both orders.
    """
    won: list[list[float]] = [[] for _ in range(num_answers)]
    reasons: list[list[str]] = [[] for _ in range(num_answers)]
    pairs = itertools.combinations(range(num_answers), 2)
    for (i, j), both in zip(pairs, paired(verdicts), strict=True):
        outcome = both.combined()
        if isinstance(outcome, Unjudged):
            reasons[i].append(outcome.reason)
            reasons[j].append(outcome.reason)
        else:
            won[i].append(outcome)
            won[j].append(1 - outcome)
    return [
        statistics.fmean(shares) if shares else Unjudged(why[0] if why else "nothing to compare")
        for shares, why in zip(won, reasons, strict=True)
    ]
