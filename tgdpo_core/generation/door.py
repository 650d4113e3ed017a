"""The one door to answers: prompts in, answers out, none of them drawn twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.generation.answers import AnsweredPrompt, prompt_key
from tgdpo_core.generation.engine import Drawn, Engine, Request
from tgdpo_core.generation.kept import InMemory, Kept, KeptAnswers, entry_name
from tgdpo_core.generation.prompts import columns_of
from tgdpo_core.generation.sampling import Sampling, seed_of
from tgdpo_core.progress import stage


@dataclass(frozen=True)
class Answers:
    """The answers of one model to prompts.

    Attributes:
        answered: in the order of the prompts.
        drawn: the same answers with their token ids, a tuple for each prompt.
        prompts: as they were sent: of engines that read token ids, these.
        num_kept: answers that were there already.
    """

    answered: Sequence[AnsweredPrompt]
    drawn: Sequence[Sequence[Drawn]]
    prompts: Sequence[Any]
    num_kept: int


def answer_all(
    engine: Engine, prompts: Sequence[PreferencePair], sampling: Sampling, *, label: str
) -> Answers:
    """Return the answers of an engine to prompts, every one of them drawn anew.

    For a model that changes, and for one whose processes must draw equally many.

    Args:
        engine: what answers.
        prompts: rows; of pairs only the prompts are read. Their columns go along.
        sampling: how answers are drawn.
        label: what the progress bar says.
    """
    sent = engine.lay_out(prompts, sampling)
    wanted = [_requests(row, each, sampling) for row, each in zip(prompts, sent, strict=True)]
    flat = [each for requests in wanted for each in requests]
    found: dict[int, Drawn] = {}
    with stage(label, len(flat), "answer") as bar:
        for number, answer in engine.draw(flat, sampling):
            found[number] = answer
            bar.update()
    in_order = iter(range(len(flat)))
    drawn = [tuple(found[next(in_order)] for _ in requests) for requests in wanted]
    return Answers(_answered(prompts, drawn), drawn, sent, 0)


def generate(
    engine: Engine,
    prompts: Sequence[PreferencePair],
    sampling: Sampling,
    *,
    store: Path | None = None,
    label: str = "answers",
) -> Answers:
    """Return the answers of an engine to prompts.

    Each answer is drawn with a seed of its own, made from the prompt and its number: it is the same
    whatever else is drawn, in whichever order. The same prompt twice has the same answers.

    Args:
        engine: what answers.
        prompts: rows; of pairs only the prompts are read. Their columns go along.
        sampling: how answers are drawn.
        store: where answers are kept as they come, and looked for first; None: nowhere.
        label: what the progress bar says.

    Raises:
        DataError: a prompt cannot be laid out, or is too long.
        StoreError: the store cannot be read or written.
    """
    sent = engine.lay_out(prompts, sampling)
    wanted = [_requests(row, each, sampling) for row, each in zip(prompts, sent, strict=True)]
    named = {entry_name(each): each for requests in wanted for each in requests}
    kept: Kept = KeptAnswers(store, engine, sampling) if store else InMemory()
    num_kept = len(named) - len(kept.lacking(list(named)))
    with stage(label, len(named), "answer", done=num_kept) as bar:
        try:
            for names in kept.work(_in_order(engine, named), engine.together):
                batch = [named[name] for name in names]
                for number, answer in engine.draw(batch, sampling):
                    kept.add(names[number], answer)
                    bar.update()
        finally:
            kept.close()
    drawn = [tuple(kept[entry_name(each)] for each in requests) for requests in wanted]
    return Answers(_answered(prompts, drawn), drawn, sent, num_kept)


def _answered(
    prompts: Sequence[PreferencePair], drawn: Sequence[Sequence[Drawn]]
) -> list[AnsweredPrompt]:
    return [
        AnsweredPrompt(row.prompt, tuple(each.answer for each in answers), columns_of(row))
        for row, answers in zip(prompts, drawn, strict=True)
    ]


def _requests(row: PreferencePair, sent: Any, sampling: Sampling) -> list[Request]:
    key = prompt_key(row.prompt)
    return [Request(sent, seed_of(sampling.seed, key, number)) for number in sampling.draws]


def _in_order(engine: Engine, named: dict[bytes, Request]) -> list[bytes]:
    """Return names of requests, the longest prompts first: what does not fit shows at once."""
    return sorted(named, key=lambda name: -engine.length(named[name].prompt))
