"""A verdict from the answers of several models: which are compared, and what judges are asked."""

import itertools
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tgdpo_core.errors import UsageError
from tgdpo_core.evaluation.both_orders import TieRule
from tgdpo_core.evaluation.contest import Contest
from tgdpo_core.evaluation.endings import Unfinished
from tgdpo_core.evaluation.judging import generation
from tgdpo_core.evaluation.opinions import Asked, AskedJudge
from tgdpo_core.evaluation.verdicts import (
    ModelAnswer,
    Opinion,
    Preference,
    PromptVerdict,
    Verdict,
)
from tgdpo_core.plugin_api.judges import Comparison

Pairs = Literal["baseline", "all"]
UNFINISHED = "unfinished"
_Place = tuple[int, str, int]  # prompt, model, draw
_Compared = tuple[int, str, str, int]  # prompt, model, other, draw


@dataclass(frozen=True)
class Rules:
    """How answers are judged.

    Attributes:
        baseline: the model that the others are compared with.
        pairs: judges of comparisons are asked about each model and the baseline, or all pairs.
        unfinished: answers that are known to be cut are judged as they are; count as 0, and lose
            against finished ones; or are left out.
        tie_rule: how both orders are put together.
        store: folder where numbers are kept; None: the default one.
    """

    baseline: str
    pairs: Pairs = "baseline"
    unfinished: Unfinished = "score"
    tie_rule: TieRule = "mean"
    store: Path | None = None


def judge_all(found: Contest, judges: Sequence[AskedJudge], rules: Rules) -> Verdict:
    """Return what judges say of the answers.

    Args:
        found: the answers.
        judges: that are set up; of answers or of comparisons.
        rules: how they are judged.

    Raises:
        UsageError: a judge of comparisons, and one model; or a baseline that is none of the models.
        PluginError: a judge failed.
    """
    if rules.baseline not in found.models:
        raise UsageError(
            f"--baseline {rules.baseline} is none of the models: {', '.join(found.models)}."
        )
    prompts = list(found.prompts)
    for judge in judges:
        if judge.named.reads == "comparisons":
            prompts = _compared(prompts, found.models, judge, rules)
        else:
            prompts = _scored(prompts, judge, rules)
    return Verdict(
        list(found.models), rules.baseline, [judge.named for judge in judges], prompts, {}
    )


def _scored(
    prompts: Sequence[PromptVerdict], judge: AskedJudge, rules: Rules
) -> list[PromptVerdict]:
    """Return the prompts with what a judge says of every answer."""
    items: dict[Hashable, Asked] = {}
    found: dict[Any, Opinion] = {}
    for place, prompt, answer in _places(prompts):
        if answer.finished is False and rules.unfinished != "score":
            judge.counts.unfinished += 1
            zero = rules.unfinished == "zero"
            value, reason = (0.0, None) if zero else (None, UNFINISHED)
            found[place] = Opinion(value, reason, was_asked=False)
        else:
            items[place] = generation(prompt, answer)
    found |= judge.opinions(items, rules.store)

    def with_score(place: _Place, answer: ModelAnswer) -> ModelAnswer:
        return replace(answer, scores={**answer.scores, judge.named.name: found[place]})

    return [
        replace(
            prompt,
            answers={
                model: tuple(with_score((number, model, i), a) for i, a in enumerate(answers))
                for model, answers in prompt.answers.items()
            },
        )
        for number, prompt in enumerate(prompts)
    ]


def _compared(
    prompts: Sequence[PromptVerdict], models: Sequence[str], judge: AskedJudge, rules: Rules
) -> list[PromptVerdict]:
    """Return the prompts with what a judge says of every two answers, in both orders."""
    if len(models) < 2:
        raise UsageError(f"judge '{judge.named.name}' compares two models: name another one.")
    names = list(_comparisons(prompts, _pairs(models, rules)))
    known: dict[_Compared, Opinion] = {}
    items: dict[Hashable, Asked] = {}
    for name in names:
        prompt, one, two = _both(prompts, name)
        if (opinion := _without_asking(one, two, judge, rules)) is not None:
            known[name] = opinion
        else:
            shown = generation(prompt, one), generation(prompt, two)
            items[name, True] = Comparison(*shown)
            items[name, False] = Comparison(*reversed(shown))
    said = judge.opinions(items, rules.store)
    found = [list(prompt.preferences) for prompt in prompts]
    for name in names:
        number, model, other, draw = name
        first, second = (
            (known[name], known[name])
            if name in known
            else (said[name, True], _turned(said[name, False]))
        )
        found[number].append(
            Preference(judge.named.name, model, other, draw, first, second, rules.tie_rule)
        )
    return [replace(p, preferences=tuple(f)) for p, f in zip(prompts, found, strict=True)]


def _comparisons(
    prompts: Sequence[PromptVerdict], pairs: Sequence[tuple[str, str]]
) -> Iterator[_Compared]:
    for number, prompt in enumerate(prompts):
        for model, other in pairs:
            for draw in range(len(prompt.answers[model])):
                yield number, model, other, draw


def _both(
    prompts: Sequence[PromptVerdict], name: _Compared
) -> tuple[PromptVerdict, ModelAnswer, ModelAnswer]:
    number, model, other, draw = name
    prompt = prompts[number]
    return prompt, prompt.answers[model][draw], prompt.answers[other][draw]


def _without_asking(
    one: ModelAnswer, two: ModelAnswer, judge: AskedJudge, rules: Rules
) -> Opinion | None:
    """Return what is known of two answers beforehand: equal ones are a tie."""
    if rules.unfinished != "score" and False in (one.finished, two.finished):
        judge.counts.unfinished += 1
        if rules.unfinished == "skip":
            return Opinion(None, UNFINISHED, was_asked=False)
        ended = float(one.finished is not False) - float(two.finished is not False)
        return Opinion((1 + ended) / 2, was_asked=False)
    if one.text == two.text:
        judge.counts.identical += 1
        return Opinion(0.5, was_asked=False)
    return None


def _pairs(models: Sequence[str], rules: Rules) -> list[tuple[str, str]]:
    """Return which models are compared, the baseline always as the second."""
    others = [model for model in models if model != rules.baseline]
    pairs = [(model, rules.baseline) for model in others]
    if rules.pairs == "all":
        pairs += [(b, a) for a, b in itertools.combinations(others, 2)]
    return pairs


def _turned(opinion: Opinion) -> Opinion:
    """Return what was said of the first answer as what it says of the second."""
    return opinion if opinion.value is None else replace(opinion, value=1 - opinion.value)


def _places(
    prompts: Sequence[PromptVerdict],
) -> Iterator[tuple[_Place, PromptVerdict, ModelAnswer]]:
    for number, prompt in enumerate(prompts):
        for model, answers in prompt.answers.items():
            for draw, answer in enumerate(answers):
                yield (number, model, draw), prompt, answer
