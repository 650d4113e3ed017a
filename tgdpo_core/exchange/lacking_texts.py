"""Texts of ``--prompts`` and ``--answers`` that belong to no judgement, and judgements without."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from tgdpo_core.errors import DataError
from tgdpo_core.exchange.judged_texts import JudgedTexts, Place
from tgdpo_core.exchange.judgements import Judged, models_of

_SHOWN = 3
_Answer = tuple[str, int | str, int]


@dataclass(frozen=True)
class LackingTexts:
    """What was looked for in files of texts and is not there.

    Attributes:
        models: of files of answers, whom nobody judged.
        questions: judged ones, by id and turn, of which the file of questions has no text.
        answers: judged ones, by model, id and turn, that the model's file of answers has not.
    """

    models: Sequence[str] = ()
    questions: Sequence[Place] = ()
    answers: Sequence[_Answer] = ()


def lacking_texts(judged: Sequence[Judged], texts: JudgedTexts) -> LackingTexts:
    """Return what files of texts lack, and whose answers nobody judged.

    Args:
        judged: all comparisons and grades.
        texts: what was given; nothing is looked for where nothing was.

    Raises:
        DataError: nothing of the questions, or nothing of the answers, belongs to a judgement.
    """
    places = dict.fromkeys((each.question, each.turn or 1) for each in judged)
    answers = dict.fromkeys(
        (model, each.question, each.turn or 1) for each in judged for model in models_of(each)
    )
    _refuse_strangers(list(answers), texts)
    models = {model for model, *_ in answers}
    return LackingTexts(
        [model for model in texts.answers if model not in models],
        [place for place in places if texts.questions and not _is_asked(place, texts)],
        [
            (model, number, turn)
            for model, number, turn in answers
            if (number, turn) not in texts.answers.get(model, {(number, turn): ""})
        ],
    )


def _is_asked(place: Place, texts: JudgedTexts) -> bool:
    number, turn = place
    return len(texts.questions.get(number, ())) >= turn


def _refuse_strangers(judged: Sequence[_Answer], texts: JudgedTexts) -> None:
    """Raise ``DataError`` where nothing of an option belongs to what was judged."""
    ids = dict.fromkeys(number for _, number, _ in judged)
    if texts.questions and ids.keys().isdisjoint(texts.questions):
        raise _strange_ids("--prompts", ids, texts.questions)
    models = dict.fromkeys(model for model, *_ in judged)
    if texts.answers and models.keys().isdisjoint(texts.answers):
        raise DataError(
            f"--answers: no file is of a judged model. Files: {_some(texts.answers)}; judged: "
            f"{_some(models)}. A model is called as its file is: rename the files."
        )
    given = {(model, number) for model, found in texts.answers.items() for number, _ in found}
    if given and given.isdisjoint((model, number) for model, number, _ in judged):
        there = dict.fromkeys(number for found in texts.answers.values() for number, _ in found)
        raise _strange_ids("--answers", ids, there)


def _strange_ids(option: str, judged: Iterable[int | str], given: Iterable[int | str]) -> DataError:
    """Return what is said; an id as text and one as a number are not taken for the same."""
    judged, given = list(judged), list(given)
    is_other_kind = not {*map(str, judged)}.isdisjoint(map(str, given))
    hint = (
        "A text is no number: write the ids of one side as the other has them."
        if is_other_kind
        else "Name the file that belongs to these judgements, or leave the option out."
    )
    return DataError(
        f"{option}: nothing there is of a judged question. Ids there: "
        f"{_some(map(repr, given))}; judged: {_some(map(repr, judged))}. {hint}"
    )


def lacking_sentences(lacking: LackingTexts) -> list[str]:
    """Return what a user should know of it, a sentence each."""
    found = []
    if lacking.models:
        found.append(f"--answers: nobody judged {_some(lacking.models)}; those texts are not used.")
    if lacking.questions:
        number, turn = lacking.questions[0]
        found.append(
            f"--prompts: {len(lacking.questions)} judged prompts are not there (the first: "
            f"question {number!r}, turn {turn}); they are shown by their ids, without category."
        )
    if lacking.answers:
        model, number, turn = lacking.answers[0]
        found.append(
            f"--answers: {len(lacking.answers)} judged answers are not in their model's file (the "
            f"first: {model}, question {number!r}, turn {turn})."
        )
    return found


def _some(names: Iterable[str]) -> str:
    first = list(islice(iter(names), _SHOWN + 1))
    return ", ".join(first[:_SHOWN]) + (", ..." if len(first) > _SHOWN else "")
