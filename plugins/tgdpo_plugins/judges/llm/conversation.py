"""What a judge is shown of an answer: the turns of its conversation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tgdpo_core import Generation, Unjudged


@dataclass(frozen=True)
class Turn:
    """A question and its answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class Conversation:
    """Questions with their answers; the last answer is the one that is judged.

    Attributes:
        system: the system message, or empty.
        turns: at least one.
        references: a reference answer to each turn, empty where there is none.
    """

    system: str
    turns: tuple[Turn, ...]
    references: tuple[str, ...]

    @property
    def question(self) -> str:
        """The last question."""
        return self.turns[-1].question

    @property
    def answer(self) -> str:
        """The answer that is judged."""
        return self.turns[-1].answer

    @property
    def reference(self) -> str:
        """The reference answer to the last question, or empty."""
        return self.references[-1]

    @property
    def has_references(self) -> bool:
        """Whether there is a reference answer to any turn."""
        return any(self.references)


def conversation_of(item: Generation, reference_column: str) -> Conversation | Unjudged:
    """Return the conversation that an answer ends; ``Unjudged`` for what cannot be shown as text.

    Args:
        item: a text prompt is one question. Of messages each user message begins a turn, but one
            that follows another user message goes on with it.
        reference_column: column of reference answers: text for the last turn, or a list with one
            for each; empty: none is read.

    Raises:
        ValueError: the column holds something else.
    """
    if isinstance(item.prompt, str):
        system, questions, answers = "", [item.prompt], [item.response]
    else:
        read = _read(item.prompt)
        if isinstance(read, Unjudged):
            return read
        system, questions, answers = read
        answers.append(item.response)
    turns = tuple(map(Turn, questions, answers))
    references = _references(item.columns.get(reference_column), len(turns), reference_column)
    return Conversation(system, turns, references)


def _read(messages: Sequence[Mapping[str, Any]]) -> "tuple[str, list[str], list[str]] | Unjudged":
    """Return system message, questions, and answers to all but the last of them."""
    system = ""
    questions: list[str] = []
    answers: list[str] = []
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if not isinstance(content, str):
            return Unjudged("a prompt whose messages are not all text")
        if role == "system" and not questions:
            system = content
        elif role == "user" and len(questions) == len(answers):
            questions.append(content)
        elif role == "user":
            questions[-1] += f"\n\n{content}"
        elif role == "assistant" and len(questions) == len(answers) + 1:
            answers.append(content)
        else:
            return Unjudged(f"a prompt with a message of role {role} that cannot be shown")
    if len(questions) != len(answers) + 1:
        return Unjudged("a prompt that does not end with a user message")
    return system, questions, answers


def _references(value: Any, number: int, column: str) -> tuple[str, ...]:
    """Return a reference answer to each turn."""
    if value is None:
        return ("",) * number
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise ValueError(
            f"the column '{column}' must hold a reference answer, or a list with one for each "
            f"turn, found {str(value)[:80]!r}. Name another (reference_column=), or none "
            "(reference_column=)"
        )
    if isinstance(value, str):
        return ("",) * (number - 1) + (value,)
    return tuple([*given, *[""] * number][:number])
