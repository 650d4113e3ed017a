"""A row that has a prompt and no responses: enough for a model to answer."""

from tgdpo_core.data.columns import Fields, RowReading
from tgdpo_core.data.dialogue import check_order, check_prompt
from tgdpo_core.data.messages import messages_of
from tgdpo_core.data.parts import Parts
from tgdpo_core.data.prompts import USER_TEXT, chat_prompt, given_dialogue, has_prompt, text_of
from tgdpo_core.data.report import RowProblem

_CHAT_ONLY = ("system", "history", "tools", "chat_template_kwargs")


def prompt_alone(fields: Fields, reading: RowReading) -> Parts:
    """Return the prompt of a row, with empty responses.

    An assistant's message at the end of a dialogue is what a model is to write, and left out.

    Raises:
        RowProblem: no column holds a prompt, it is empty, or its roles are out of order.
    """
    if not has_prompt(fields):
        if empty := next((each for each in ("messages", *USER_TEXT) if fields.has(each)), None):
            raise RowProblem("empty", f"'{fields.column(empty)}' is empty")
        raise RowProblem(
            "no_prompt",
            f"no column holds the prompt (columns: {', '.join(fields.names())}). Name it with "
            "--set data.columns.prompt=COLUMN",
        )
    if not is_chat(fields, reading):
        text = text_of(fields, "prompt")
        if not text.strip():
            raise RowProblem("empty", f"'{fields.column('prompt')}' is empty")
        return Parts(text, "", "")
    turns = chat_prompt(fields)
    notes: tuple[str, ...] = ()
    if len(turns) > 1 and turns[-1].role == "assistant":
        turns, notes = turns[:-1], ("last_answer_left_out",)
    check_order(turns)
    check_prompt(turns)
    return Parts(messages_of(turns), [], [], notes)


def is_chat(fields: Fields, reading: RowReading) -> bool:
    """Return whether a row whose responses are text is a chat all the same.

    A column that only chats have decides by being there: a row with an empty system text is one of
    a file of chats.
    """
    if reading.format in ("sharegpt", "instruction") or given_dialogue(fields) is not None:
        return True
    if reading.format == "explicit":
        return False
    if fields.has("prompt"):
        return any(fields.has(name) for name in _CHAT_ONLY)
    return any(fields.has(name) for name in USER_TEXT)
