"""A verdict as arrays over its prompts: what statistics are made of. NaN is where nothing is known.

Several draws of one prompt are averaged first, so that a prompt counts once.
"""

from collections.abc import Callable, Iterable

import numpy as np

from tgdpo_core.evaluation.intervals import Array
from tgdpo_core.evaluation.verdicts import ModelAnswer, Preference, PromptVerdict, Verdict


def scores(verdict: Verdict, judge: str, model: str) -> Array:
    """Return [P] what a judge of answers says of a model, the mean of the draws it has judged."""
    return _of_answers(verdict, model, lambda answer: _score(answer, judge))


def measured(verdict: Verdict, model: str, what: str) -> Array:
    """Return [P] of ``num_tokens``, ``finished``, ``kl`` or ``num_characters``, mean of the draws.

    Args:
        verdict: the verdict.
        model: whose answers.
        what: the name.
    """
    if what == "num_characters":
        return _of_answers(verdict, model, lambda answer: len(answer.text))
    return _of_answers(verdict, model, lambda answer: getattr(answer, what))


def preferences(verdict: Verdict, judge: str, model: str, other: str) -> Array:
    """Return [P] how surely a judge of comparisons finds a model better than another, 0 to 1."""
    return np.array([_preference(prompt, judge, model, other) for prompt in verdict.prompts])


def preferences_of_scores(verdict: Verdict, judge: str, model: str, other: str) -> Array:
    """Return [P] 1, 0.5 or 0 where a judge of answers scores a model higher, equal or lower."""
    difference = scores(verdict, judge, model) - scores(verdict, judge, other)
    return np.where(np.isnan(difference), np.nan, (np.sign(difference) + 1) / 2)


def wins(verdict: Verdict, judge: str) -> Array:
    """Return [P, M, M] how surely the row's model is better than the column's, 0 if not compared.

    What a pair of models gets of a prompt sums up to 1.
    """
    number = len(verdict.models)
    found = np.zeros((len(verdict.prompts), number, number))
    for i, model in enumerate(verdict.models):
        for j, other in enumerate(verdict.models[:i]):
            values = preferences(verdict, judge, model, other)
            known = ~np.isnan(values)
            found[known, i, j] = values[known]
            found[known, j, i] = 1 - values[known]
    return found


def _of_answers(
    verdict: Verdict, model: str, value: Callable[[ModelAnswer], float | None]
) -> Array:
    return np.array(
        [_mean(map(value, prompt.answers.get(model, ()))) for prompt in verdict.prompts]
    )


def _score(answer: ModelAnswer, judge: str) -> float | None:
    opinion = answer.scores.get(judge)
    return None if opinion is None else opinion.value


def _preference(prompt: PromptVerdict, judge: str, model: str, other: str) -> float:
    return _mean(
        _turned(item, model)
        for item in prompt.preferences
        if item.judge == judge and {item.model, item.other} == {model, other}
    )


def _turned(preference: Preference, model: str) -> float | None:
    value = preference.value
    return value if value is None or preference.model == model else 1 - value


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")
