"""The answers of several models, put together by prompt."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tgdpo_core.errors import DataError
from tgdpo_core.evaluation.verdicts import ModelAnswer, PromptVerdict
from tgdpo_core.generation.answers import AnsweredPrompt


@dataclass(frozen=True)
class Contest:
    """The answers that are judged.

    Attributes:
        models: names, in the order of tables.
        prompts: that all of them have answered, without verdicts so far.
        notes: what was left out, in sentences.
    """

    models: Sequence[str]
    prompts: Sequence[PromptVerdict]
    notes: Sequence[str] = ()


def contest(
    answered: Mapping[str, Sequence[AnsweredPrompt]],
    kl: Mapping[str, Sequence[Sequence[float]]] | None = None,
) -> Contest:
    """Return the answers of several models, put together by prompt.

    Prompts are in the order of the first model. Those that a model has not answered are left out,
    and all but the first of equal prompts; both are noted.

    Args:
        answered: by model.
        kl: by model of each answer, nats, for those models that it was measured of.

    Raises:
        DataError: no prompt was answered by all.
    """
    notes: list[str] = []
    by_model = {name: _by_prompt(name, items, notes) for name, items in answered.items()}
    kl_of = {
        name: {_key(item): values for item, values in zip(answered[name], each, strict=True)}
        for name, each in (kl or {}).items()
    }
    everything = list(dict.fromkeys(key for items in by_model.values() for key in items))
    common = [key for key in everything if all(key in items for items in by_model.values())]
    if not common:
        raise DataError(
            "No prompt was answered by all models: "
            + ", ".join(f"{name} has {len(items)}" for name, items in by_model.items())
            + ". Prompts are the same if their text or messages are, to the character."
        )
    if left_out := len(everything) - len(common):
        notes.append(f"{left_out} of {len(everything)} prompts left out: not answered by all.")
    draws = _draws(by_model, common, notes)
    notes += _contradictions(by_model, common)
    prompts = [
        PromptVerdict(
            next(iter(by_model.values()))[key].prompt,
            {
                name: _answers(items[key], kl_of.get(name, {}).get(key))[:draws]
                for name, items in by_model.items()
            },
            columns=_merged(items[key].columns for items in by_model.values()),
        )
        for key in common
    ]
    return Contest(list(answered), prompts, tuple(notes))


def _key(item: AnsweredPrompt) -> str:
    return item.key


def _by_prompt(
    name: str, items: Sequence[AnsweredPrompt], notes: list[str]
) -> dict[str, AnsweredPrompt]:
    found: dict[str, AnsweredPrompt] = {}
    for item in items:
        found.setdefault(_key(item), item)
    if repeated := len(items) - len(found):
        notes.append(f"{name}: {repeated} of {len(items)} prompts left out: there before.")
    return found


def _draws(
    by_model: Mapping[str, Mapping[str, AnsweredPrompt]], keys: Sequence[str], notes: list[str]
) -> int:
    """Return how many answers of each prompt all models have; note what is left out.

    Raises:
        DataError: none.
    """
    counts = {
        name: min(len(items[key].answers) for key in keys) for name, items in by_model.items()
    }
    fewest = min(counts.values())
    most = max(len(items[key].answers) for items in by_model.values() for key in keys)
    if not fewest:
        name = min(counts, key=lambda each: counts[each])
        raise DataError(f"{name}: a prompt has no answer at all.")
    if most > fewest:
        notes.append(
            f"The first {fewest} answers of each prompt count: not every model has more, up to "
            f"{most}."
        )
    return fewest


def _answers(item: AnsweredPrompt, kl: Sequence[float] | None) -> tuple[ModelAnswer, ...]:
    """Return the answers of a prompt; KL is of the random ones, in their order."""
    values = iter(kl or ())
    return tuple(
        ModelAnswer(
            answer.text,
            answer.finished,
            answer.num_tokens,
            answer.seed,
            next(values, None) if answer.seed is not None else None,
        )
        for answer in item.answers
    )


def _contradictions(
    by_model: Mapping[str, Mapping[str, AnsweredPrompt]], keys: Sequence[str]
) -> list[str]:
    """Return sentences about columns of which models say different things for one prompt."""
    found: Counter[str] = Counter()
    for key in keys:
        columns = [items[key].columns for items in by_model.values()]
        merged = _merged(columns)
        found.update(
            name
            for name, value in merged.items()
            if any(name in each and each[name] != value for each in columns)
        )
    return [
        f"column '{name}': the files of answers contradict each other for {count} of {len(keys)} "
        "prompts; what the first model's file says counts."
        for name, count in found.items()
    ]


def _merged(columns: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the columns of a prompt: what the first model that has one says."""
    found: dict[str, Any] = {}
    for each in columns:
        found = {**each, **found}
    return found
