"""What is to be known beside the tables of a verdict, in sentences."""

from collections.abc import Iterator, Mapping

from tgdpo_core.evaluation.intervals import Estimate
from tgdpo_core.evaluation.judge_agreement import Agreement
from tgdpo_core.evaluation.verdict_numbers import Position, VerdictSummary
from tgdpo_core.evaluation.verdict_tables import number, percent


def verdict_sentences(summary: VerdictSummary) -> list[str]:
    """Return what is to be known beside the tables."""
    return [
        *map(_position, summary.positions),
        *map(_agreement, summary.agreements),
        *_unplaced(summary),
        *_left_out(summary),
        *_controlled(summary),
        *_empty(summary),
    ]


def _agreement(found: Agreement) -> str:
    kappa = number(found.kappa)
    if found.kappa.value is None:
        kappa = "not defined, since both always say the same"
    return (
        f"{found.first} and {found.second} agree on {percent(found.share)} of {found.num_pairs} "
        f"pairs of answers; Cohen's kappa {kappa}."
    )


def _unplaced(summary: VerdictSummary) -> Iterator[str]:
    for each in summary.strengths:
        if each.note:
            yield f"{each.model} has no finite strength for {each.judge}: {each.note}."


def _left_out(summary: VerdictSummary) -> Iterator[str]:
    for scored in summary.scores:
        yield from _unjudged(scored.judge, scored.model, scored.unjudged, "answers")
    for rate in summary.win_rates:
        beside = f"{rate.model} beside {rate.other}"
        yield from _unjudged(rate.judge, beside, rate.unjudged, "comparisons")


def _controlled(summary: VerdictSummary) -> Iterator[str]:
    for rate in summary.win_rates:
        if (found := rate.length_controlled) is None:
            continue
        if found.is_erased:
            yield (
                f"{rate.model} by {rate.judge}: cross-validation chose a penalty that leaves no "
                "term, so that its length-controlled win rate is 50 % exactly: no sign of a "
                "difference."
            )
        elif found.is_extreme(rate.rate):
            yield (
                f"{rate.model} by {rate.judge}: the length-controlled win rate is far from the raw "
                "one. Where one model's answers are the longer ones throughout, the regression "
                "cannot tell length from model."
            )


def _empty(summary: VerdictSummary) -> Iterator[str]:
    for model in summary.models:
        if model.num_empty:
            yield f"{model.model}: {model.num_empty} of {model.num_answers} answers are empty."


def _position(found: Position) -> str:
    bias = found.bias
    one = f" {found.one_order} comparisons were asked in one order only: their bias stays in."
    if not bias.num_judged:
        unknown = "position bias not known, since it was asked about nothing in both orders"
        return f"{found.judge}: {unknown}.{one if found.one_order else ''}"
    first, changed = bias.first_place, bias.changed
    return (
        f"{found.judge}: the answer shown first wins {_share(first.value, first.low, first.high)} "
        f"(50 %: no position bias), and the order changes the outcome of "
        f"{_share(changed.value, changed.low, changed.high)} of {bias.num_judged} comparisons"
        f"{'; both orders count, which takes the bias out' if not found.one_order else ''}."
        f"{one if found.one_order else ''}"
    )


def _share(value: float, low: float, high: float) -> str:
    return percent(Estimate(value, low, high))


def _unjudged(judge: str, model: str, reasons: Mapping[str, int], what: str) -> list[str]:
    if not reasons:
        return []
    listed = ", ".join(f"{reason} ({count})" for reason, count in reasons.items())
    return [f"{judge}, {model}: {sum(reasons.values())} {what} unjudged and left out: {listed}."]
