"""Judges: how good a generated response is, or how well the policy tells responses apart."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

from tgdpo_core.plugin_api.options import Options

Reads = Literal["answers", "pairs", "comparisons"]


@dataclass(frozen=True)
class Generation:
    """A prompt and what a model answered.

    Attributes:
        prompt: text or list of messages, as the data set has it.
        response: the generated text, special tokens left out.
        columns: the other columns of the data-set row.
        finished: whether the model ended the answer itself; False: it was cut at the most tokens
            allowed; None: not known.
        num_tokens: tokens of the answer, the one that ended it included; None: not known.
    """

    prompt: Any
    response: str
    columns: Mapping[str, Any] = field(default_factory=dict)
    finished: bool | None = None
    num_tokens: int | None = None


@dataclass(frozen=True)
class Comparison:
    """Two answers to one prompt. Whoever asks a judge asks about both orders.

    Attributes:
        first: the answer that is shown first.
        second: the other.
    """

    first: Generation
    second: Generation

    @property
    def prompt(self) -> Any:
        """The prompt of both answers."""
        return self.first.prompt


@dataclass(frozen=True)
class Unjudged:
    """In place of a score: the judge has none for this one. It is counted and named, never a zero.

    Attributes:
        reason: in a few words, of a kind that can be counted: ``no verdict in the reply``.
        explanation: the judge's own words, kept and shown beside the reason.
    """

    reason: str
    explanation: str = field(default="", compare=False, repr=False)


Verdict = float | Unjudged


class Explained(float):
    """A score or verdict with the judge's own words, which are kept and shown beside it.

    Attributes:
        explanation: what it said.
    """

    explanation: str

    def __new__(cls, value: float, explanation: str) -> "Explained":
        """Return a number that carries the words."""
        made = super().__new__(cls, value)
        made.explanation = explanation
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what copies and pickles are made from."""
        return type(self), (float(self), self.explanation)


@dataclass(frozen=True)
class PairLikelihood:
    """A preference pair and how likely the policy finds its responses.

    Attributes:
        prompt: text or list of messages, as the data set has it.
        chosen: exactly the text that ``chosen_logps`` cover: after truncation, a chat template's
            closing marks included.
        rejected: the same of the other response.
        chosen_logps: log pi of every token of the chosen response, nats; EOS included.
        rejected_logps: log pi of every token of the rejected response.
        columns: the other columns of the data-set row.
    """

    prompt: Any
    chosen: str
    rejected: str
    chosen_logps: tuple[float, ...]
    rejected_logps: tuple[float, ...]
    columns: Mapping[str, Any] = field(default_factory=dict)


class Judge(Options):
    """Base of a judge; only ``score`` must be written, or ``reads = "pairs"`` and ``score_pairs``.

    Annotated fields are its options (see ``option``). ``setup``, ``teardown`` and what it is asked
    by may be ``async def``.
    """

    reads: ClassVar[Reads] = "answers"
    """What it is asked about: ``answers`` that the policy generates to prompts (``score``), or the
    likelihoods of the ``pairs`` of the data set; then nothing is generated (``score_pairs``); or
    ``comparisons`` of two answers to one prompt (``compare``). A property where it depends on the
    options."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a ``reads`` that does not exist, when the plugin is loaded."""
        super().__init_subclass__(**kwargs)
        if not isinstance(cls.reads, property) and cls.reads not in get_args(Reads):
            allowed = ", ".join(map(repr, get_args(Reads)))
            raise TypeError(f"{cls.__name__}.reads is {cls.reads!r}; it must be one of {allowed}")

    def validate(self) -> None:
        """Raise ``ValueError`` for what is wrong and can be seen without loading anything.

        Called by ``tgdpo validate``, ``tgdpo evaluate`` and before every run, with the options set:
        a path that is not there, say. Import no torch here.
        """

    def setup(self) -> Awaitable[None] | None:
        """Load what ``score`` needs."""

    def score(
        self, batch: Sequence[Generation]
    ) -> Sequence[Verdict] | Awaitable[Sequence[Verdict]]:
        """Return one score per generation; higher is better, 1 and 0 for solved and not solved."""
        raise NotImplementedError(
            f"{type(self).__name__} must implement score(batch), or say reads = 'pairs' and "
            "implement score_pairs(batch)"
        )

    def score_pairs(
        self, batch: Sequence[PairLikelihood]
    ) -> Sequence[float] | Awaitable[Sequence[float]]:
        """Return one score per pair; higher is better, 1 and 0 for right and wrong."""
        raise NotImplementedError(f"{type(self).__name__} must implement score_pairs(batch)")

    def compare(
        self, batch: Sequence[Comparison]
    ) -> Sequence[Verdict] | Awaitable[Sequence[Verdict]]:
        """Return of each comparison how surely the first answer is the better one, 0 to 1.

        1: the first, 0: the second, 0.5: a tie.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement compare(batch)")

    def error_spans(
        self, batch: Sequence[Generation]
    ) -> Sequence[Sequence[tuple[int, int]]] | None:
        """Return the characters of each response that are known errors; None if it cannot tell.

        Asked once about the responses of the training pairs, before ``setup``: how well low token
        rewards mark these errors is part of the diagnostics of a run. ``(n, n)`` with n the length
        of the response is its end: the EOS token. A response whose ``finished`` is False has none.
        """
        return None

    def record(self) -> Mapping[str, Any]:
        """Return JSON of what it has done so far, kept beside its verdicts: calls, cost, say."""
        return {}

    def teardown(self) -> Awaitable[None] | None:
        """Free what ``setup`` loaded; may be called twice."""
