"""Judgements of other tools as verdicts of ours: the same tables, intervals and page."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tgdpo_core.evaluation.verdicts import (
    ModelAnswer,
    NamedJudge,
    Opinion,
    Preference,
    PromptVerdict,
    Verdict,
)
from tgdpo_core.exchange.judged_texts import JudgedTexts
from tgdpo_core.exchange.judgements import Compared, Graded, Judged, Judgements

_NO_TEXT = "(the file of judgements has no text)"
_Key = tuple[int | str, int | None]


def verdicts_of(
    judgements: Judgements, texts: JudgedTexts, *, baseline: str | None, settings: Mapping[str, Any]
) -> list[Verdict]:
    """Return one verdict for every model that others were compared with, and one of the grades.

    A judgement that a file has twice is kept twice: the same judge, asked again.

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
        names[each.model] = None
        if isinstance(each, Compared):
            names[each.other] = None
    return list(names)


def _compares(each: Judged) -> bool:
    return isinstance(each, Compared)


def _verdict(
    judged: Sequence[Compared] | Sequence[Graded],
    models: Sequence[str],
    baseline: str,
    texts: JudgedTexts,
    settings: Mapping[str, Any],
) -> Verdict:
    prompts: dict[_Key, list[Any]] = {}
    for each in judged:
        prompts.setdefault((each.question, each.turn), []).append(each)
    reads = Counter(
        (each.judge, "comparisons" if _compares(each) else "answers") for each in judged
    )
    return Verdict(
        models,
        baseline,
        [NamedJudge(name, kind) for name, kind in reads],  # type: ignore[arg-type]
        [_prompt(key, rows, models, texts) for key, rows in prompts.items()],
        settings,
    )


def _prompt(
    key: _Key, rows: Sequence[Any], models: Iterable[str], texts: JudgedTexts
) -> PromptVerdict:
    question, turn = key
    given = {name: text for each in rows for name, text in getattr(each, "texts", {}).items()}
    answers = {}
    for model in models:
        text = given.get(model, texts.answers.get(model, {}).get((question, turn or 1)))
        scores = {
            each.judge: Opinion(each.score)
            for each in rows
            if isinstance(each, Graded) and each.model == model
        }
        if text is not None or scores:
            answers[model] = [ModelAnswer(_NO_TEXT if text is None else text, scores=scores)]
    columns = {"question_id": question, "turn": turn, "category": rows[0].category}
    return PromptVerdict(
        texts.prompt(question, turn),
        answers,
        [_preference(each) for each in rows if isinstance(each, Compared)],
        {name: value for name, value in columns.items() if value is not None},
    )


def _preference(each: Compared) -> Preference:
    """Return a comparison; where the file does not say who was first, it stands as asked once."""
    first = each.model_first if each.either_first is None else each.either_first
    both = each.either_first is None
    return Preference(
        each.judge,
        each.model,
        each.other,
        0,
        _opinion(first, each.weights.get("model_first")),
        _opinion(each.other_first, each.weights.get("other_first")) if both else None,
    )


def _opinion(value: float | None, weight: int | None) -> Opinion:
    if value is None:
        return Opinion(None, unjudged="no verdict")
    return Opinion(
        value, explanation=f"a strong verdict, counted {weight} times" if weight else None
    )
