"""Rows that hold a prompt and no responses: what a model is to answer."""

from tgdpo_core.data.assembly import Parts, is_chat
from tgdpo_core.data.columns import Fields, RowReading
from tgdpo_core.data.dialogue import check_order, check_prompt
from tgdpo_core.data.messages import messages_of
from tgdpo_core.data.prompts import USER_TEXT, chat_prompt, text_of
from tgdpo_core.data.report import RowProblem

ANSWER_LEFT_OUT = "last_answer_left_out"


def has_responses(fields: Fields) -> bool:
    """Return whether a row has a column of a response, be it blank."""
    return fields.has("chosen") or fields.has("rejected")


def assemble_prompt(fields: Fields, reading: RowReading) -> Parts:
    """Return the prompt of a row in the form that it has beside responses, and no responses.

    A dialogue that ends with the assistant's message is one without it: it is the answer.

    Raises:
        RowProblem: there is no prompt, or none that could be answered.
    """
    if not any(fields.has(name) for name in ("messages", *USER_TEXT)):
        raise RowProblem(
            "no_prompt",
            f"no column holds a prompt (columns: {', '.join(fields.names())}). Name it with --set "
            "data.columns.prompt=COLUMN",
        )
    if not is_chat(fields, reading):
        text = text_of(fields, "prompt")
        if not text.strip():
            raise RowProblem("empty", f"'{fields.column('prompt')}' is empty")
        return Parts(text, "", "")
    turns = chat_prompt(fields)
    answered = len(turns) > 1 and turns[-1].role == "assistant"
    turns = turns[:-1] if answered else turns
    check_order(turns)
    check_prompt(turns)
    return Parts(messages_of(turns), [], [], (ANSWER_LEFT_OUT,) if answered else ())
