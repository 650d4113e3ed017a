"""Questions put to a model, turn after turn; each turn follows the model's own answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tgdpo_core.errors import DataError
from tgdpo_core.exchange.questions import Question
from tgdpo_core.generation.answers import Answer, AnsweredPrompt

Messages = list[dict[str, str]]


class Answering(Protocol):
    """Whoever answers prompts: a model, or a file of answers."""

    def __call__(
        self, prompts: Sequence[Messages], *, temperature: float, num_answers: int
    ) -> Sequence[Sequence[Answer]]:
        """Return ``num_answers`` answers to each prompt; temperature 0 is greedy."""


@dataclass(frozen=True)
class Conversation:
    """A question and what a model said.

    Attributes:
        question: of the benchmark.
        choices: independent tries; of each the answers, one a turn.
        prompts: what was asked, of each choice and turn.
    """

    question: Question
    choices: tuple[tuple[Answer, ...], ...]
    prompts: tuple[tuple[Messages, ...], ...]

    @property
    def answers(self) -> list[Answer]:
        """All answers, those of the first choice first."""
        return [answer for choice in self.choices for answer in choice]

    def answered_prompts(self) -> list[AnsweredPrompt]:
        """Return all turns as they are kept in a file of answers; one prompt may be there twice."""
        return [
            AnsweredPrompt(prompt, (answer,), self.question.row)
            for prompts, answers in zip(self.prompts, self.choices, strict=True)
            for prompt, answer in zip(prompts, answers, strict=True)
        ]


def hold(
    questions: Sequence[Question],
    answering: Answering,
    temperature_of: Callable[[Question], float],
    *,
    num_choices: int = 1,
    system: str | None = None,
) -> list[Conversation]:
    """Return the conversations, in the order of the questions.

    As FastChat does, a choice goes on from its own earlier answers, without the spaces around them.

    Raises:
        DataError: an answer is missing.
    """
    start: Messages = [{"role": "system", "content": system}] if system else []
    tries = [_Try(question, start) for question in questions for _ in range(num_choices)]
    for turn in range(max((len(question.turns) for question in questions), default=0)):
        asked = [each for each in tries if turn < len(each.question.turns)]
        for each in asked:
            each.ask(turn)
        by_temperature: dict[float, list[_Try]] = {}
        for each in asked:
            by_temperature.setdefault(temperature_of(each.question), []).append(each)
        for temperature, group in by_temperature.items():
            _answer(group, answering, temperature, num_choices if turn == 0 else 1)
    return [
        Conversation(
            question,
            tuple(tuple(each.answers) for each in tries[i : i + num_choices]),
            tuple(tuple(each.prompts) for each in tries[i : i + num_choices]),
        )
        for i, question in zip(range(0, len(tries), num_choices), questions, strict=True)
    ]


class _Try:
    """One conversation as it goes on."""

    def __init__(self, question: Question, start: Messages) -> None:
        self.question = question
        self.messages = list(start)
        self.prompts: list[Messages] = []
        self.answers: list[Answer] = []

    def ask(self, turn: int) -> None:
        self.messages = [*self.messages, {"role": "user", "content": self.question.turns[turn]}]
        self.prompts.append(self.messages)

    def note(self, answer: Answer) -> None:
        self.answers.append(answer)
        said = {"role": "assistant", "content": answer.text.strip()}
        self.messages = [*self.messages, said]


def _answer(
    group: Sequence[_Try], answering: Answering, temperature: float, num_answers: int
) -> None:
    """Answer the last prompts; tries that share one (of the first turn) share a call."""
    firsts = group[::num_answers]
    given = answering(
        [each.prompts[-1] for each in firsts], temperature=temperature, num_answers=num_answers
    )
    answers = [answer for several in given for answer in several]
    for each, answer in zip(group, answers, strict=True):
        each.note(answer)


class AnswersOfFile:
    """Answers that were given before, found by the content of their prompts.

    A prompt that is asked again gets its next answer, and after the last one its first.
    """

    def __init__(self, name: str, answered: Sequence[AnsweredPrompt]) -> None:
        self._name = name
        self._found: dict[str, list[Answer]] = {}
        for item in answered:
            self._found.setdefault(_content(item.prompt), []).extend(item.answers)
        self._taken: dict[str, int] = {}

    def __call__(
        self, prompts: Sequence[Messages], *, temperature: float, num_answers: int
    ) -> Sequence[Sequence[Answer]]:
        """Return the answers of the file; how they were drawn is not looked at.

        Raises:
            DataError: a prompt is not there, or has too few answers.
        """
        keys = [_content(prompt) for prompt in prompts]
        short = [i for i, key in enumerate(keys) if len(self._found.get(key, ())) < num_answers]
        if short:
            first = prompts[short[0]]
            turn = sum(message["role"] == "user" for message in first)
            raise DataError(
                f"{self._name}: {len(short)} of {len(prompts)} prompts of turn {turn} have no "
                f"answer there (or fewer than {num_answers}). The first: "
                f"{first[-1]['content'][:80]!r}. Prompts are found by their whole content, "
                "system message and earlier turns included."
            )
        return [self._take(key, num_answers) for key in keys]

    def _take(self, key: str, num_answers: int) -> list[Answer]:
        answers, start = self._found[key], self._taken.get(key, 0)
        self._taken[key] = start + num_answers
        return [answers[(start + i) % len(answers)] for i in range(num_answers)]


def _content(prompt: Any) -> str:
    """Return what tells a prompt from others, whatever spaces stand around its messages.

    A text is the same as one message of the user.
    """
    turns: Sequence[Mapping[str, Any]] = (
        [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    )
    said = [(str(turn.get("role")), str(turn.get("content")).strip()) for turn in turns]
    return "\x1e".join(f"{role}\x1f{text}" for role, text in said)
