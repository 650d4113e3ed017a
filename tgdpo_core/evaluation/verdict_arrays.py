"""A verdict as arrays over its prompts: what statistics are made of. NaN is where nothing is known.

Several draws of one prompt are averaged first, so that a prompt counts once.
"""

import math
from collections.abc import Callable, Iterable

import numpy as np

from tgdpo_core.evaluation.intervals import Array
from tgdpo_core.evaluation.verdicts import ModelAnswer, Preference, PromptVerdict, Verdict


def scores(verdict: Verdict, judge: str, model: str, *, only_asked: bool = False) -> Array:
    """Return [P] what a judge of answers says of a model, the mean of the draws it has judged.

    Args:
        verdict: the verdict.
        judge: its name.
        model: whose answers.
        only_asked: leave out what is known without asking it.
    """
    return _of_answers(verdict, model, lambda answer: _score(answer, judge, only_asked))


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


def preferences(
    verdict: Verdict, judge: str, model: str, other: str, *, only_asked: bool = False
) -> Array:
    """Return [P] how surely a judge of comparisons finds a model better than another, 0 to 1.

    Args:
        verdict: the verdict.
        judge: its name.
        model: whose answers.
        other: the model it is compared with.
        only_asked: leave out what is known without asking it.
    """
    return np.array(
        [_preference(prompt, judge, (model, other), only_asked) for prompt in verdict.prompts]
    )


def preferences_of_scores(
    verdict: Verdict, judge: str, model: str, other: str, *, only_asked: bool = False
) -> Array:
    """Return [P] 1, 0.5 or 0 where a judge of answers scores a model higher, equal or lower.

    Arguments as of ``preferences``.
    """
    one, two = (scores(verdict, judge, m, only_asked=only_asked) for m in (model, other))
    difference = one - two
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


def _score(answer: ModelAnswer, judge: str, only_asked: bool) -> float | None:
    opinion = answer.scores.get(judge)
    if opinion is None or (only_asked and not opinion.was_asked):
        return None
    return opinion.value


def _preference(
    prompt: PromptVerdict, judge: str, models: tuple[str, str], only_asked: bool
) -> float:
    return _mean(
        _turned(item, models[0])
        for item in prompt.preferences
        if item.judge == judge
        and {item.model, item.other} == {*models}
        and (item.was_asked or not only_asked)
    )


def _turned(preference: Preference, model: str) -> float | None:
    value = preference.value
    return value if value is None or preference.model == model else 1 - value


def _mean(values: Iterable[float | None]) -> float:
    """Return a mean that the order of draws does not change: equal ones are no win."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else math.nan


def clusters(verdict: Verdict) -> Array:
    """Return [P] numbers of what is resampled as one: equal ones belong together."""
    numbers: dict[str | int, int] = {}
    names = (prompt.cluster or number for number, prompt in enumerate(verdict.prompts))
    return np.array([numbers.setdefault(name, len(numbers)) for name in names])
