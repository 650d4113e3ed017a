"""What a judge says, checked: one number or ``Unjudged`` for each that it was asked about."""

import math
import numbers
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.judges import Judge, Reads, Unjudged, Verdict

_NUM_TEXT = 40  # characters of a prompt in messages


def question(judge: Judge) -> Callable[[Any], Any]:
    """Return the method that a judge is asked by."""
    methods: dict[Reads, Callable[[Any], Any]] = {
        "answers": judge.score,
        "pairs": judge.score_pairs,
        "comparisons": judge.compare,
    }
    return methods[judge.reads]


def checked_verdicts(who: str, said: Any, batch: Sequence[Any], reads: Reads) -> list[Verdict]:
    """Return what a judge said of a batch, numbers as float.

    Args:
        who: how messages name the judge.
        said: what it returned.
        batch: what it was asked about.
        reads: what that is.

    Raises:
        PluginError: another number of verdicts; one that is neither a finite number nor
            ``Unjudged`` with a reason, or of comparisons a number outside [0, 1].
    """
    expected = f"{who} must return {len(batch)} finite numbers or Unjudged(reason), got"
    if not isinstance(said, Iterable):
        raise PluginError(f"{expected} {type(said).__name__}.")
    given = list(said)
    if len(given) != len(batch):
        raise PluginError(f"{expected} {len(given)}.")
    return [
        _checked(each, reads, f"{who}, the prompt {str(item.prompt)[:_NUM_TEXT]!r}")
        for each, item in zip(given, batch, strict=True)
    ]


def _checked(verdict: Any, reads: Reads, where: str) -> Verdict:
    if isinstance(verdict, Unjudged) and reads != "pairs":
        if not isinstance(verdict.reason, str) or not verdict.reason.strip():
            raise PluginError(f"{where}: Unjudged without a reason; say why in a few words.")
        return verdict
    value = _number(verdict)
    if value is None or not math.isfinite(value):
        raise PluginError(
            f"{where}: the verdict must be a finite number or Unjudged(reason), got {verdict!r}."
        )
    if reads == "comparisons" and not 0 <= value <= 1:
        raise PluginError(
            f"{where}: of a comparison the verdict must be from 0 (the second is better) to 1 (the "
            f"first is), got {value:g}."
        )
    return value


def _number(verdict: Any) -> float | None:
    """Return a number as float, also one of numpy or a tensor of one; None if it is none."""
    if getattr(verdict, "ndim", None) == 0:
        verdict = verdict.item()
    return float(verdict) if isinstance(verdict, numbers.Real) else None
