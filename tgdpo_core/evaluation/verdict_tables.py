"""The tables of a verdict: the terminal and verdict.html show the same cells."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tgdpo_core.evaluation.intervals import Estimate
from tgdpo_core.evaluation.length_control import LengthControlled
from tgdpo_core.evaluation.verdict_numbers import (
    ModelSummary,
    ScoreSummary,
    Strength,
    VerdictSummary,
    WinRate,
)

NOTHING = "-"


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column names the row.

    Attributes:
        title: of the table.
        columns: their names.
        rows: as many cells each.
        caption: what the columns mean.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


def verdict_tables(summary: VerdictSummary) -> list[Table]:
    """Return a table for each judge, and one of the other pairs of models where they were asked."""
    models = {model.model: model for model in summary.models}
    if not summary.scores and not summary.win_rates:
        rows = [(name, *_about(model)) for name, model in models.items()]
        return [Table("Answers", ("model", *_ABOUT), rows)]
    return [*_score_tables(summary, models), *_win_tables(summary, models)]


# -- cells ----------------------------------------------------------------------------------------


def number(estimate: Estimate, digits: int = 3) -> str:
    """Return ``0.312 [0.280, 0.344]``; an open end of the interval is dots."""
    return _text(estimate, 1.0, digits)


def percent(estimate: Estimate) -> str:
    """Return ``54.2 % [49.0, 59.1]``."""
    return _text(estimate, 100.0, 1, " %")


def _text(estimate: Estimate, scale: float, digits: int, unit: str = "") -> str:
    if estimate.value is None:
        return NOTHING
    value = f"{scale * estimate.value:.{digits}f}{unit}"
    if estimate.low is None and estimate.high is None:
        return value
    low, high = (
        "..." if end is None else f"{scale * end:.{digits}f}"
        for end in (estimate.low, estimate.high)
    )
    return f"{value} [{low}, {high}]"


_ABOUT = ("tokens", "finished", "KL")


def _about(model: ModelSummary) -> tuple[str, ...]:
    """Return length, end and KL, which belong beside every score."""
    tokens = NOTHING if model.num_tokens.value is None else f"{model.num_tokens.value:.1f}"
    return tokens, percent(model.finished), number(model.kl)


# -- tables ---------------------------------------------------------------------------------------


def _score_tables(summary: VerdictSummary, models: Mapping[str, ModelSummary]) -> Iterator[Table]:
    for judge in dict.fromkeys(each.judge for each in summary.scores):
        rows = [
            (
                each.model,
                number(each.mean),
                *_difference(each, len(models)),
                _counts(each),
                *_about(models[each.model]),
            )
            for each in summary.scores
            if each.judge == judge
        ]
        against = (f"minus {summary.baseline}", "higher") if len(models) > 1 else ()
        columns = ("model", "score", *against, "judged", *_ABOUT)
        yield Table(f"Scores of {judge}", columns, rows, _SCORES)


_SCORES = (
    "Means over prompts, with 95 % intervals over resampled prompts; differences are paired by "
    "prompt. higher: share of prompts with a higher score than the baseline's, equal ones half. "
    "judged: prompts with a score (answers without one). tokens: mean length of an answer; "
    "finished: share that the model ended itself; KL: to the reference, nats."
)


def _difference(each: ScoreSummary, num_models: int) -> tuple[str, ...]:
    return (number(each.difference), percent(each.higher)) if num_models > 1 else ()


def _counts(each: ScoreSummary | WinRate) -> str:
    """Return how many prompts have a verdict, and how much was asked in vain."""
    unjudged = sum(each.unjudged.values())
    return f"{each.num_prompts} ({unjudged} not)" if unjudged else str(each.num_prompts)


def _win_tables(summary: VerdictSummary, models: Mapping[str, ModelSummary]) -> Iterator[Table]:
    baseline = summary.baseline
    for judge in dict.fromkeys(each.judge for each in summary.win_rates):
        rates = [each for each in summary.win_rates if each.judge == judge]
        strengths = {each.model: each for each in summary.strengths if each.judge == judge}
        against = {each.model: each for each in rates if each.other == baseline}
        placed = ("strength",) if strengths else ()
        columns = ("model", "win rate", "length-controlled", "won/tied/lost", *placed)
        rows = [
            (
                name,
                *(_win(against[name]) if name in against else (NOTHING,) * 3),
                *((_place(strengths[name]),) if strengths else ()),
                _counts(against[name]) if name in against else NOTHING,
                *_about(model),
            )
            for name, model in models.items()
        ]
        title = f"Against {baseline}, by {judge}"
        yield Table(title, (*columns, "judged", *_ABOUT), rows, _wins(rates, summary))
        others = [each for each in rates if each.other != baseline]
        if others:
            pairs = [(f"{e.model} against {e.other}", *_win(e), _counts(e)) for e in others]
            columns = ("models", "win rate", "length-controlled", "won/tied/lost")
            yield Table(f"The other pairs, by {judge}", (*columns, "judged"), pairs)


def _win(rate: WinRate) -> tuple[str, str, str]:
    controlled = rate.length_controlled
    return (
        percent(rate.rate),
        percent(controlled.win_rate) if controlled else NOTHING,
        f"{rate.wins}/{rate.ties}/{rate.losses}",
    )


def _place(strength: Strength) -> str:
    return strength.note or number(strength.strength, 2)


def _wins(rates: Sequence[WinRate], summary: VerdictSummary) -> str:
    said = "Ties are half a win; 95 % intervals over resampled prompts. judged: prompts with a "
    said += "verdict (comparisons without one)."
    terms = {_terms(e.length_controlled, summary) for e in rates if e.length_controlled}
    for each in sorted(terms):
        said += f" Length-controlled as in AlpacaEval 2, by {each}."
    return f"{said} strength: Bradley and Terry's, nats above {rates[0].other}."


def _terms(found: LengthControlled, summary: VerdictSummary) -> str:
    """Return what a length-controlled win rate is a regression on."""
    if "difficulty" in found.coefficients:
        gamed = f", regularised with {found.num_gamed} rows of gamed baselines"
        return f"length and instruction_difficulty{gamed if found.num_gamed else ''}"
    having = f"{summary.num_difficulties or 'no'} of {summary.num_prompts} prompts have"
    return f"length alone: {having} an instruction_difficulty, which counts where all have one"
