"""A verdict: what judges said of the answers of several models to the same prompts.

Made by ``tgdpo evaluate`` and by ``tgdpo import``; statistics, tables, files and the page are made
from it and from nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tgdpo_core.evaluation.both_orders import BothOrders, TieRule
from tgdpo_core.generation.answers import prompt_key
from tgdpo_core.plugin_api.judges import Reads, Unjudged


@dataclass(frozen=True)
class Opinion:
    """What a judge said once.

    Attributes:
        value: a score, or of two answers how surely one is the better one, 0 to 1; None: it has
            none for this one.
        unjudged: why there is none; None where there is one.
        explanation: the judge's own words, where they were kept.
        was_asked: False: known without the judge, of equal answers or of unfinished ones. It counts
            as an outcome and says nothing of the judge.
    """

    value: float | None
    unjudged: str | None = None
    explanation: str | None = None
    was_asked: bool = True

    def __post_init__(self) -> None:
        """Refuse an opinion that is a number and none, or neither."""
        if (self.value is None) == (self.unjudged is None):
            raise ValueError("an opinion has a value, or says why it has none")

    @property
    def verdict(self) -> float | Unjudged:
        """The value, or why there is none."""
        return Unjudged(self.unjudged or "") if self.value is None else self.value


@dataclass(frozen=True)
class ModelAnswer:
    """One answer of one model.

    Attributes:
        text: of the answer.
        finished: whether the model ended it itself; None: not known.
        num_tokens: of the answer, the one that ended it included; None: not known.
        seed: of the draw; None: greedy, or not known.
        kl: KL(policy || reference) of the answer, nats; None: not measured.
        scores: by judge of answers, what it said.
    """

    text: str
    finished: bool | None = None
    num_tokens: int | None = None
    seed: int | None = None
    kl: float | None = None
    scores: Mapping[str, Opinion] = field(default_factory=dict)


@dataclass(frozen=True)
class Preference:
    """What a judge said of two models' answers to one prompt, in one order or in both.

    Attributes:
        judge: its name.
        model: whose answer the values are about.
        other: the model it is compared with.
        draw: which of their answers: the position in ``PromptVerdict.answers``.
        shown_first: how surely ``model`` is the better one, asked with its answer first; None: not
            asked so.
        shown_second: the same, asked with its answer second. It is about ``model`` as well.
        tie_rule: how both orders are put together, see ``BothOrders``.
    """

    judge: str
    model: str
    other: str
    draw: int
    shown_first: Opinion | None
    shown_second: Opinion | None
    tie_rule: TieRule = "mean"

    def __post_init__(self) -> None:
        """Refuse a preference that nobody has."""
        if not self.opinions:
            raise ValueError("a preference was asked in one order at least")

    @property
    def opinions(self) -> tuple[Opinion, ...]:
        """What was said, in the orders that were asked."""
        return tuple(o for o in (self.shown_first, self.shown_second) if o is not None)

    @property
    def value(self) -> float | None:
        """How surely ``model`` is the better one, of the orders that were asked.

        None if one of them has no verdict: what is left would carry the bias of its position.
        """
        if (both := self.both_orders) is not None:
            combined = both.combined(self.tie_rule)
            return None if isinstance(combined, Unjudged) else combined
        (opinion,) = self.opinions
        return opinion.value

    @property
    def was_asked(self) -> bool:
        """Whether the judge was, in one order at least."""
        return any(opinion.was_asked for opinion in self.opinions)

    @property
    def both_orders(self) -> BothOrders | None:
        """What was said in both orders; None where one was not asked."""
        first, second = self.shown_first, self.shown_second
        if first is None or second is None:
            return None
        swapped = second.verdict if second.value is None else 1 - second.value
        return BothOrders(first.verdict, swapped)


@dataclass(frozen=True)
class PromptVerdict:
    """A prompt, what each model answered, and what was said of it.

    Attributes:
        prompt: text or list of messages.
        answers: by model, in the order of their draws.
        preferences: of judges of comparisons.
        columns: the other columns of the prompt's row; ``instruction_difficulty`` counts in
            length-controlled win rates.
        cluster: names what is resampled as one, such as the question whose turn this is; None: the
            prompt stands for itself.
    """

    prompt: Any
    answers: Mapping[str, Sequence[ModelAnswer]]
    preferences: Sequence[Preference] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)
    cluster: str | None = None

    @property
    def key(self) -> str:
        """A hash of the prompt alone."""
        return prompt_key(self.prompt)


@dataclass(frozen=True)
class NamedJudge:
    """Which judge, and what it is asked about.

    Attributes:
        name: how tables call it; two of one kind have two names.
        reads: ``answers`` or ``comparisons``.
        settings: JSON: its plugin and options, without secrets.
    """

    name: str
    reads: Reads
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """Everything that was said of several models.

    Attributes:
        models: their names, in the order of tables.
        baseline: the one that the others are compared with.
        judges: who judged.
        prompts: one for each prompt.
        settings: JSON: how answers were drawn and where they come from.
    """

    models: Sequence[str]
    baseline: str
    judges: Sequence[NamedJudge]
    prompts: Sequence[PromptVerdict]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def preferences(self, judge: str) -> Iterator[tuple[int, Preference]]:
        """Yield what a judge of comparisons said, with the number of the prompt."""
        for number, prompt in enumerate(self.prompts):
            for preference in prompt.preferences:
                if preference.judge == judge:
                    yield number, preference
