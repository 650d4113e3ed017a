"""The answers to one prompt that may become a pair, and why the others may not."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tgdpo_core.plugin_api.judges import Unjudged, Verdict

UNFINISHED = "unfinished"
EMPTY = "empty"
DUPLICATE = "duplicate"
NOT_FINITE = "score is not finite"


@dataclass(frozen=True)
class Candidate:
    """One answer.

    Attributes:
        text: of the answer.
        source: the model that gave it, or the column of the row that it stood in.
        finished: whether it was ended; False: it was cut.
        num_tokens: of the answer; None: not known.
        seed: of its draw; None: greedy, or not drawn.
        score: what the judge says; higher is better. None: not judged yet.
    """

    text: str
    source: str
    finished: bool = True
    num_tokens: int | None = None
    seed: int | None = None
    score: float | None = None


def comparable(
    answers: Sequence[Candidate], *, only_finished: bool
) -> tuple[list[Candidate], Counter[str]]:
    """Return the answers worth judging, in their order, and how many are left out for what.

    Of answers that are equal but for white space around them the first stays.

    Args:
        answers: all answers to one prompt.
        only_finished: leave out those that were cut.
    """
    kept: dict[str, Candidate] = {}
    left_out: Counter[str] = Counter()
    for answer in answers:
        text = answer.text.strip()
        if not text:
            left_out[EMPTY] += 1
        elif only_finished and not answer.finished:
            left_out[UNFINISHED] += 1
        elif text in kept:
            left_out[DUPLICATE] += 1
        else:
            kept[text] = answer
    return list(kept.values()), left_out


def with_scores(
    answers: Sequence[Candidate], verdicts: Sequence[Verdict]
) -> tuple[list[Candidate], Counter[str]]:
    """Return the answers that have a score, with it, and how many have none for what reason.

    Args:
        answers: to one prompt.
        verdicts: what the judge said of each.
    """
    judged: list[Candidate] = []
    left_out: Counter[str] = Counter()
    for answer, verdict in zip(answers, verdicts, strict=True):
        if isinstance(verdict, Unjudged):
            left_out[f"unjudged: {verdict.reason}"] += 1
        elif not math.isfinite(verdict):
            left_out[NOT_FINITE] += 1
        else:
            judged.append(replace(answer, score=float(verdict)))
    return judged, left_out
