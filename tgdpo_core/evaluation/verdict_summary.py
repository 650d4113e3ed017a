"""What a verdict says in numbers: means, differences, win rates, agreement; all with intervals.

Intervals are percentiles over resampled prompts, the same resamples for every number; prompts of
one cluster, such as the turns of a question, are drawn together. The order of prompts, and so that
of models, changes no number.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from tgdpo_core.errors import UsageError
from tgdpo_core.evaluation import verdict_arrays as arrays
from tgdpo_core.evaluation.both_orders import position_bias
from tgdpo_core.evaluation.bradley_terry import strengths
from tgdpo_core.evaluation.intervals import (
    Array,
    Estimate,
    interval,
    mean_interval,
    resampled_clusters,
    share_interval,
)
from tgdpo_core.evaluation.judge_agreement import Agreement, agreement
from tgdpo_core.evaluation.length_control import (
    Gamed,
    LengthControlled,
    difficulties_of,
    length_controlled,
)
from tgdpo_core.evaluation.verdict_numbers import (
    ModelSummary,
    Position,
    ScoreSummary,
    Strength,
    VerdictSummary,
    WinRate,
)
from tgdpo_core.evaluation.verdicts import Opinion, PromptVerdict, Verdict

NUM_RESAMPLES = 2000
NUM_CONTROLLED = 300
"""Resamples of length-controlled win rates: each is a regression."""
DIFFICULTY = "instruction_difficulty"
"""The column of a prompt that AlpacaEval's difficulties are read from."""


def summarize(
    verdict: Verdict, *, num_resamples: int = NUM_RESAMPLES, gamed: Gamed | None = None
) -> VerdictSummary:
    """Return the numbers of a verdict.

    Args:
        verdict: what judges said.
        num_resamples: of the intervals.
        gamed: AlpacaEval's regularisation of length-controlled win rates, see
            ``require_difficulties``.
    """
    verdict = replace(verdict, prompts=sorted(verdict.prompts, key=lambda prompt: prompt.key))
    weights = resampled_clusters(arrays.clusters(verdict), num_resamples, seed=0)
    of_answers = [judge.name for judge in verdict.judges if judge.reads == "answers"]
    of_pairs = [judge.name for judge in verdict.judges if judge.reads == "comparisons"]
    return VerdictSummary(
        verdict.baseline,
        len(verdict.prompts),
        sum(map(_has_difficulty, verdict.prompts)),
        tuple(_model(verdict, model, weights) for model in verdict.models),
        tuple(_scores(verdict, j, model, weights) for j in of_answers for model in verdict.models),
        tuple(rate for judge in of_pairs for rate in _win_rates(verdict, judge, weights, gamed)),
        tuple(place for judge in of_pairs for place in _strengths(verdict, judge, weights)),
        tuple(_position(verdict, judge) for judge in of_pairs),
        tuple(_agreements(verdict, weights)),
    )


def require_difficulties(prompts: Sequence[PromptVerdict]) -> None:
    """Refuse prompts that the regression with gamed baselines cannot be of.

    Raises:
        UsageError: one has no ``instruction_difficulty``.
    """
    lacking = [prompt for prompt in prompts if not _has_difficulty(prompt)]
    if lacking:
        raise UsageError(
            f"--gamed: AlpacaEval's own regression knows the {DIFFICULTY} of every prompt, and "
            f"{len(lacking)} of {len(prompts)} have no such column, or no number in it, for "
            f"example {str(lacking[0].prompt)!r:.80}. Add it, or leave --gamed out."
        )


def _has_difficulty(prompt: PromptVerdict) -> bool:
    return difficulties_of([prompt.columns.get(DIFFICULTY)]) is not None


def _model(verdict: Verdict, model: str, weights: Array) -> ModelSummary:
    answers = [answer for prompt in verdict.prompts for answer in prompt.answers.get(model, ())]

    def mean(what: str) -> Estimate:
        over = share_interval if what == "finished" else mean_interval
        return over(arrays.measured(verdict, model, what), weights)

    return ModelSummary(
        model,
        len(answers),
        sum(not answer.text.strip() for answer in answers),
        mean("num_tokens"),
        mean("finished"),
        mean("kl"),
    )


def _scores(verdict: Verdict, judge: str, model: str, weights: Array) -> ScoreSummary:
    values = arrays.scores(verdict, judge, model)
    said = (
        answer.scores.get(judge)
        for prompt in verdict.prompts
        for answer in prompt.answers.get(model, ())
    )
    is_baseline = model == verdict.baseline
    difference = values - arrays.scores(verdict, judge, verdict.baseline)
    higher = arrays.preferences_of_scores(verdict, judge, model, verdict.baseline)
    return ScoreSummary(
        judge,
        model,
        mean_interval(values, weights),
        Estimate(None) if is_baseline else mean_interval(difference, weights),
        Estimate(None) if is_baseline else share_interval(higher, weights),
        int((~np.isnan(values)).sum()),
        _reasons(said),
    )


def _win_rates(
    verdict: Verdict, judge: str, weights: Array, gamed: Gamed | None
) -> Iterable[WinRate]:
    """Yield those of every model against the baseline, then of the other pairs."""
    others = [model for model in verdict.models if model != verdict.baseline]
    pairs = [(model, verdict.baseline) for model in others]
    pairs += [(b, a) for a, b in itertools.combinations(others, 2)]
    for model, other in pairs:
        said = [
            item
            for _, item in verdict.preferences(judge)
            if {item.model, item.other} == {model, other}
        ]
        if not said:
            continue
        values = arrays.preferences(verdict, judge, model, other)
        turned = [
            None if item.value is None else item.value if item.model == model else 1 - item.value
            for item in said
        ]
        judged = np.array([value for value in turned if value is not None])
        reasons = [next((o for o in item.opinions if o.unjudged), None) for item in said]
        yield WinRate(
            judge,
            model,
            other,
            share_interval(values, weights),
            int((judged > 0.5).sum()),
            int((judged == 0.5).sum()),
            int((judged < 0.5).sum()),
            int((~np.isnan(values)).sum()),
            _reasons(reason for reason in reasons if reason),
            _length_controlled(verdict, model, values, weights, gamed)
            if other == verdict.baseline
            else None,
        )


def _length_controlled(
    verdict: Verdict, model: str, values: Array, weights: Array, gamed: Gamed | None
) -> LengthControlled | None:
    known = ~np.isnan(values)
    lengths = [arrays.measured(verdict, m, "num_characters") for m in (verdict.baseline, model)]
    difference = (lengths[0] - lengths[1])[known]
    if np.isnan(difference).any():  # imported judgements may come without the answers
        return None
    columns = [prompt.columns.get(DIFFICULTY) for prompt in verdict.prompts]
    difficulties = difficulties_of([c for c, keep in zip(columns, known, strict=True) if keep])
    drawn = weights[:NUM_CONTROLLED, known]
    return length_controlled(
        values[known],
        difference,
        difficulties=difficulties,
        gamed=gamed,
        resamples=drawn[drawn.sum(axis=1) > 0],
    )


def _strengths(verdict: Verdict, judge: str, weights: Array) -> Iterable[Strength]:
    """Yield the strengths of three models or more; of two the win rate says it all."""
    if len(verdict.models) < 3:
        return
    wins = arrays.wins(verdict, judge)
    base = verdict.models.index(verdict.baseline)
    flat = wins.reshape(len(wins), -1)
    with np.errstate(invalid="ignore"):  # inf - inf: two that cannot be compared
        found = strengths(wins.sum(axis=0))
        resampled = [strengths((w @ flat).reshape(wins.shape[1:])) for w in weights[:500]]
        drawn = np.array(resampled).reshape(-1, len(found))
        found, drawn = found - found[base], drawn - drawn[:, [base]]
    found[base], drawn[:, base] = 0.0, 0.0
    total = wins.sum(axis=0)
    for number, model in enumerate(verdict.models):
        note = "" if np.isfinite(found[number]) else _why(total, number, base)
        yield Strength(judge, model, interval(float(found[number]), drawn[:, number]), note)


def _why(wins: Array, number: int, base: int) -> str:
    """Return why a model has no finite strength beside the baseline."""
    if not wins[number].any() and not wins[:, number].any():
        return "compared with none"
    if not wins[:, number].any():
        return "won every comparison"
    if not wins[number].any():
        return "lost every comparison"
    if not wins[base].any() and not wins[:, base].any():
        return "the baseline was compared with none"
    for what, one in (("won", wins[:, base]), ("lost", wins[base])):
        if not one.any():
            return f"the baseline {'lost' if what == 'lost' else 'won'} every comparison"
    return "no chain of wins joins it with the baseline in both directions"


def _position(verdict: Verdict, judge: str) -> Position:
    cluster = arrays.clusters(verdict).tolist()
    asked = [
        (cluster[number], item.both_orders)
        for number, item in verdict.preferences(judge)
        if item.was_asked
    ]
    both = [(name, orders) for name, orders in asked if orders is not None]
    bias = position_bias([orders for _, orders in both], [name for name, _ in both])
    return Position(judge, bias, len(asked) - len(both))


def _agreements(verdict: Verdict, weights: Array) -> Iterable[Agreement]:
    """Yield the agreement of every two judges on every two models that both were asked about."""
    for first, second in itertools.combinations(verdict.judges, 2):
        values: list[list[float]] = [[], []]
        prompts: list[int] = []
        for model, other in _oriented(verdict):
            said = [
                (
                    arrays.preferences
                    if judge.reads == "comparisons"
                    else arrays.preferences_of_scores
                )(verdict, judge.name, model, other, only_asked=True)
                for judge in (first, second)
            ]
            both = np.flatnonzero(~np.isnan(said[0]) & ~np.isnan(said[1]))
            prompts += both.tolist()
            for kept, one in zip(values, said, strict=True):
                kept += one[both].tolist()
        if prompts:
            yield agreement(
                (first.name, second.name),
                (np.array(values[0]), np.array(values[1])),
                np.array(prompts),
                weights,
            )


def _oriented(verdict: Verdict) -> list[tuple[str, str]]:
    """Return every two models, in an order that only the baseline decides: kappa depends on it."""
    names = sorted(verdict.models, key=lambda name: (name == verdict.baseline, name))
    return list(itertools.combinations(names, 2))


def _reasons(said: Iterable[Opinion | None]) -> dict[str, int]:
    """Return how often there is no opinion, by reason."""
    reasons = ("not asked" if o is None else o.unjudged for o in said)
    return dict(sorted(Counter(reason for reason in reasons if reason).items()))
