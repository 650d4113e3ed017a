"""The columns of a row as a prompt in messages."""

from collections.abc import Sequence
from typing import Any

from tgdpo_core.data.columns import Fields, is_blank
from tgdpo_core.data.embedded import read_list, read_messages
from tgdpo_core.data.messages import Turn, as_turns, kind_of
from tgdpo_core.data.report import RowProblem

USER_TEXT = ("prompt", "instruction", "question", "input")
"""Fields whose text is a user's turn, the first of them that a row has."""


def chat_prompt(fields: Fields) -> list[Turn]:
    """Return the prompt of a row that is a chat: system, history, then the question or dialogue.

    Raises:
        RowProblem: a field is of the wrong type, or there is nothing that could be a prompt.
    """
    turns = given_dialogue(fields)
    if turns is None:
        turns = [Turn({"role": "user", "content": user_text(fields)}, _user_column(fields))]
    elif fields.filled("messages"):
        fields.read("messages")
    else:
        fields.read("prompt")
    return with_system(fields, [*_history(fields), *turns])


def given_dialogue(fields: Fields) -> list[Turn] | None:
    """Return the prompt that a column holds as messages, or None; it is not yet noted as used."""
    for name in ("messages", "prompt"):
        value = read_messages(fields.peek(name), fields.column(name)) if fields.has(name) else None
        if is_blank(value) or (name == "prompt" and isinstance(value, str)):
            continue
        if isinstance(value, str):
            value = read_list(value, fields.column(name))
        return as_turns(value, fields.column(name))
    return None


def has_prompt(fields: Fields) -> bool:
    """Return whether a column holds a prompt, in whatever form."""
    return any(fields.filled(name) for name in ("messages", *USER_TEXT))


def user_text(fields: Fields) -> str:
    """Return the text of the user's turn; an instruction and its input are joined by a line break.

    Raises:
        RowProblem: it is not text, or empty.
    """
    name = next((name for name in USER_TEXT if fields.filled(name)), None)
    if name is None:
        present = next((name for name in USER_TEXT if fields.has(name)), "prompt")
        raise RowProblem("empty", f"'{fields.column(present) or 'prompt'}' is empty")
    text = text_of(fields, name)
    if name == "instruction" and fields.filled("input"):
        return f"{text}\n{text_of(fields, 'input')}"
    return text


def text_of(fields: Fields, name: str) -> str:
    """Return a field that must be text, and no messages written as text."""
    value, column = fields.read(name), fields.column(name)
    if not isinstance(value, str):
        raise RowProblem("not_text", f"'{column}' must be text, found {kind_of(value)}")
    _refuse_messages(value, column)
    return value


def _refuse_messages(text: str, column: str) -> None:
    if not isinstance(read_messages(text, column), str):
        raise RowProblem(
            "not_text",
            f"'{column}' is text that holds messages. If it is the dialogue, say so with --set "
            f"data.columns.messages={column.partition('[')[0]}",
        )


def with_system(fields: Fields, turns: Sequence[Turn]) -> list[Turn]:
    """Return a dialogue with the system message of its own column before it.

    Raises:
        RowProblem: the dialogue begins with another one.
    """
    if not fields.filled("system"):
        return [*turns]
    column = fields.column("system")
    value = read_messages(fields.read("system"), column)
    if isinstance(value, str):
        own = [Turn({"role": "system", "content": value}, column)]
    elif isinstance(value, list | dict):
        own = as_turns(value, column)
    else:
        raise RowProblem("not_text", f"'{column}' must be text, found {kind_of(value)}")
    if wrong := next((turn for turn in own if turn.role not in ("system", "developer")), None):
        raise RowProblem("bad_order", f"'{wrong.name}' is a {wrong.role} message")
    if [turn.message for turn in turns[: len(own)]] == [turn.message for turn in own]:
        return [*turns]
    if turns and turns[0].role == "system":
        raise RowProblem(
            "ignored_column", f"'{column}' and '{turns[0].name}' are two different system messages"
        )
    return [*own, *turns]


def _history(fields: Fields) -> list[Turn]:
    """Return earlier turns: pairs of question and answer (Alpaca), or messages."""
    if not fields.filled("history"):
        return []
    column = fields.column("history")
    value = read_list(fields.read("history"), column)
    if isinstance(value, list | tuple) and all(isinstance(pair, list | tuple) for pair in value):
        return [turn for i, pair in enumerate(value) for turn in _question(pair, f"{column}[{i}]")]
    return as_turns(value, column)


def _question(pair: Sequence[Any], name: str) -> list[Turn]:
    if len(pair) != 2 or not all(isinstance(text, str) for text in pair):
        raise RowProblem("bad_message", f"'{name}' must be a question and its answer, both text")
    for i, text in enumerate(pair):
        _refuse_messages(text, f"{name}[{i}]")
    roles = ("user", "assistant")
    return [
        Turn({"role": role, "content": text}, f"{name}[{i}]")
        for i, (role, text) in enumerate(zip(roles, pair, strict=True))
    ]


def _user_column(fields: Fields) -> str:
    return fields.column(next(name for name in USER_TEXT if fields.filled(name)))
