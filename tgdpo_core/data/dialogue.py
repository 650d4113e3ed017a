"""The order of a dialogue: who may speak after whom, and who must have the last word."""

from collections.abc import Sequence

from tgdpo_core.data.messages import Turn, says_nothing
from tgdpo_core.data.report import RowProblem


def check_order(turns: Sequence[Turn]) -> None:
    """Raise ``RowProblem`` for a dialogue that no model has.

    System and developer messages stand at the beginning; user and assistant do not speak twice in
    a row; a tool's result follows an assistant's message or another result; a user's message is not
    empty.
    """
    before = ""
    for turn in turns:
        role = turn.role
        begins = before in (("",) if role == "system" else ("", "system"))
        if role in ("system", "developer") and not begins:
            raise RowProblem(
                "bad_order", f"'{turn.name}': a {role} message may only begin a dialogue"
            )
        if role == before and role in ("user", "assistant"):
            raise RowProblem("bad_order", f"'{turn.name}' is the second {role} message in a row")
        if role == "tool" and before not in ("assistant", "tool"):
            raise RowProblem(
                "bad_order", f"'{turn.name}': a tool message must follow an assistant's"
            )
        if role == "user" and says_nothing(turn.message):
            raise RowProblem("empty", f"'{turn.name}' is empty")
        before = role


def check_prompt(turns: Sequence[Turn]) -> None:
    """Raise ``RowProblem`` for a prompt that is empty, or does not end with the user or a tool."""
    if not turns:
        raise RowProblem("empty", "the prompt is empty: no message stands before the responses")
    if turns[-1].role not in ("user", "tool"):
        raise RowProblem(
            "bad_order",
            f"the prompt must end with a user or tool message; its last, '{turns[-1].name}', is "
            f"{_of(turns[-1].role)}",
        )


def check_response(turns: Sequence[Turn], side: str) -> None:
    """Raise ``RowProblem`` for a response that the assistant does not begin and end."""
    for place, turn in (("begin", turns[0]), ("end", turns[-1])):
        if turn.role != "assistant":
            raise RowProblem(
                "bad_order",
                f"a response must {place} with an assistant message; '{turn.name}' of '{side}' is "
                f"{_of(turn.role)}",
            )
    last = turns[-1].message
    if not last["content"] and not last.get("tool_calls"):
        raise RowProblem("empty", f"the last message of '{side}' is empty")


def refuse_user_turns(turns: Sequence[Turn], side: str) -> None:
    """Raise ``RowProblem`` where dialogues that diverge early leave a user in the response."""
    for turn in turns[:-1]:
        if turn.role == "user":
            raise RowProblem(
                "bad_order",
                f"the dialogues differ before the last turn, so that the user message "
                f"'{turn.name}' would be trained as part of '{side}'. Cut them where they diverge, "
                "or ask for it with --set data.format=implicit",
            )


def _of(role: str) -> str:
    return {"assistant": "the assistant's", "user": "the user's", "tool": "a tool's"}.get(
        role, f"a {role} message"
    )
