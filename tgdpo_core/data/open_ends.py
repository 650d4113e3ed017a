"""Responses that go on: rows that say so, and texts that end where their last words end."""

from tgdpo_core.data.columns import Fields, is_blank
from tgdpo_core.data.messages import kind_of
from tgdpo_core.data.report import RowProblem
from tgdpo_core.data.special_tokens import ModelText

_SAID = {"true": True, "false": False}  # as CSV files write it


def read_finished(fields: Fields, name: str) -> bool:
    """Return whether a row says that a response ends; it does where nothing is said.

    Args:
        fields: of the row.
        name: ``chosen_finished`` or ``rejected_finished``.

    Raises:
        RowProblem: the column holds something else than true and false.
    """
    if not fields.has(name):
        return True
    value, column = fields.read(name), fields.column(name)
    if is_blank(value):
        return True
    if isinstance(value, str):
        value = _SAID.get(value.strip().lower(), value)
    if not isinstance(value, bool):
        raise RowProblem(
            "bad_finished", f"'{column}' must be true or false, found {kind_of(value)} {value!r}"
        )
    return value


def left_open(whole: ModelText, cut: str) -> ModelText:
    """Return a rendered dialogue without what closes its last message.

    Args:
        whole: the dialogue.
        cut: its text up to the end of the last message's content.

    Raises:
        RowProblem: the dialogue does not begin with it: its template writes an open message in
            another way.
    """
    if not whole.text.startswith(cut):
        raise RowProblem(
            "cannot_stay_open",
            "the response is marked as unfinished, and the chat template writes the dialogue in "
            "another way where its last message goes on",
        )
    user = [span for span in whole.user if span[1] <= len(cut)]
    return whole._replace(text=cut, user=user)
