"""Judgements of other tools as verdicts of ours: the same tables, intervals and page."""

from collections.abc import Mapping, Sequence
from typing import Any

from tgdpo_core.evaluation.verdicts import (
    ModelAnswer,
    NamedJudge,
    Opinion,
    Preference,
    PromptVerdict,
    Verdict,
)
from tgdpo_core.exchange.drawn_answers import drawn_answers
from tgdpo_core.exchange.judged_texts import JudgedTexts
from tgdpo_core.exchange.judgements import Compared, Graded, Judged, Judgements, models_of

_NO_TEXT = "(the file of judgements has no text)"
_Key = tuple[int | str, int | None]


def verdicts_of(
    judgements: Judgements, texts: JudgedTexts, *, baseline: str | None, settings: Mapping[str, Any]
) -> list[Verdict]:
    """Return one verdict for every model that others were compared with, and one of the grades.

    A judgement that a file has twice is kept twice: the same judge, asked again. Of a question's
    several answers each preference stands beside its own texts.

    Args:
        judgements: what was read.
        texts: of questions and answers, as far as they are known.
        baseline: among models that were all compared with each other, the one of tables; None: of
            each comparison the model that it names second.
        settings: JSON that says where they come from.
    """
    found = []
    groups: dict[str, list[Compared]] = {}
    for each in judgements.compared:
        groups.setdefault(baseline or each.other, []).append(each)
    for name, compared in groups.items():
        models = _models(compared, name)
        found.append(_verdict(compared, models, models[0], texts, settings))
    if judgements.graded:
        models = _models(judgements.graded, baseline)
        found.append(_verdict(judgements.graded, models, models[0], texts, settings))
    return found


def _models(judged: Sequence[Judged], first: str | None) -> list[str]:
    names = dict.fromkeys([first] if first else [])
    for each in judged:
        names |= dict.fromkeys(models_of(each))
    return list(names)


def _verdict(
    judged: Sequence[Compared] | Sequence[Graded],
    models: Sequence[str],
    baseline: str,
    texts: JudgedTexts,
    settings: Mapping[str, Any],
) -> Verdict:
    places: dict[_Key, list[Any]] = {}
    for each in judged:
        places.setdefault((each.question, each.turn), []).append(each)
    compares = isinstance(judged[0], Compared)
    judges = dict.fromkeys(each.judge for each in judged)
    prompts = _compared_prompts if compares else _graded_prompts
    return Verdict(
        models,
        baseline,
        [NamedJudge(name, "comparisons" if compares else "answers") for name in judges],
        [each for key, rows in places.items() for each in prompts(key, rows, models, texts)],
        settings,
    )


def _compared_prompts(
    key: _Key, rows: Sequence[Compared], models: Sequence[str], texts: JudgedTexts
) -> list[PromptVerdict]:
    """Return a question with its draws, each preference at that of the texts it is about."""
    question, turn = key
    groups = drawn_answers(rows, models, lambda model: texts.answer(model, question, turn))
    return [
        PromptVerdict(
            texts.prompt(question, turn),
            {
                model: [ModelAnswer(draw.texts[model] or "") for draw in draws]
                for model in models
                if draws[0].texts[model] is not None
            },
            [_preference(each, n) for n, draw in enumerate(draws) for each in draw.compared],
            _columns(key, draws[0].compared[0].category),
            _cluster(key, is_split=len(groups) > 1),
        )
        for draws in groups
    ]


def _graded_prompts(
    key: _Key, rows: Sequence[Graded], models: Sequence[str], texts: JudgedTexts
) -> list[PromptVerdict]:
    """Return a question; a judge's further grades of an answer stand at further draws of it."""
    question, turn = key
    answers = {}
    for model in models:
        text = texts.answer(model, question, turn)
        grades: dict[str, list[Opinion]] = {}
        for each in rows:
            if each.model == model:
                grades.setdefault(each.judge, []).append(Opinion(each.score))
        num_draws = max(map(len, grades.values()), default=0 if text is None else 1)
        if num_draws:
            answers[model] = [
                ModelAnswer(
                    _NO_TEXT if text is None else text,
                    scores={judge: said[n] for judge, said in grades.items() if n < len(said)},
                )
                for n in range(num_draws)
            ]
    columns = _columns(key, rows[0].category)
    return [PromptVerdict(texts.prompt(question, turn), answers, (), columns, _cluster(key))]


def _columns(key: _Key, category: str | None) -> dict[str, Any]:
    columns = {"question_id": key[0], "turn": key[1], "category": category}
    return {name: value for name, value in columns.items() if value is not None}


def _cluster(key: _Key, *, is_split: bool = False) -> str | None:
    """Return what is resampled as one: the turns of a question are no independent prompts."""
    question, turn = key
    return str(question) if turn is not None or is_split else None


def _preference(each: Compared, draw: int) -> Preference:
    """Return a comparison; where the file does not say who was first, it stands as asked once."""
    first = each.model_first if each.either_first is None else each.either_first
    both = each.either_first is None
    return Preference(
        each.judge,
        each.model,
        each.other,
        draw,
        _opinion(first, each.weights.get("model_first")),
        _opinion(each.other_first, each.weights.get("other_first")) if both else None,
    )


def _opinion(value: float | None, weight: int | None) -> Opinion:
    if value is None:
        return Opinion(None, unjudged="no verdict")
    return Opinion(
        value, explanation=f"a strong verdict, counted {weight} times" if weight else None
    )
