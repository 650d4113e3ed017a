"""Lists of messages in every form that data sets have, as the one form of chat templates.

``role``/``content`` (OpenAI) and ``from``/``value`` (ShareGPT) are both read. Roles have one name
each; content is text; what has no place in a chat template is refused by name.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tgdpo_core.data.columns import is_blank
from tgdpo_core.data.pairs import Message
from tgdpo_core.data.report import RowProblem
from tgdpo_core.data.tool_calls import as_tool_calls, require_json
from tgdpo_core.errors import did_you_mean

_ROLES = {
    "user": ("user", "human", "prompter"),
    "assistant": ("assistant", "gpt", "model", "bot", "chatgpt", "chatbot", "ai"),
    "system": ("system",),
    "developer": ("developer",),
    "tool": ("tool", "observation", "function", "ipython", "tool_response", "function_response"),
    "function_call": ("function_call", "tool_call"),
}
_ROLE_OF = {name: role for role, names in _ROLES.items() for name in names}

# What a message may say that nothing here, and no template, would take into account.
_REFUSED = (
    "image",
    "images",
    "audio",
    "audios",
    "video",
    "videos",
    "files",
    "refusal",
    "weight",
    "train",
    "training",
    "prefix",
)


class Turn(NamedTuple):
    """A message and the place in the row where it stands."""

    message: Message
    name: str

    @property
    def role(self) -> str:
        """Whose turn it is: user, assistant, system, developer or tool."""
        return str(self.message["role"])


def as_turns(value: Any, name: str) -> list[Turn]:
    """Return the messages of a list; one message may stand for a list of one.

    Raises:
        RowProblem: not messages; the message's index is named.
    """
    value = [value] if isinstance(value, Mapping) else value
    if not isinstance(value, list | tuple):
        raise RowProblem(
            "not_text", f"'{name}' must be text or a list of messages, found {kind_of(value)}"
        )
    return [Turn(_message(m, f"{name}[{i}]"), f"{name}[{i}]") for i, m in enumerate(value)]


def messages_of(turns: Sequence[Turn]) -> list[Message]:
    """Return the messages alone."""
    return [turn.message for turn in turns]


def says_nothing(message: Message) -> bool:
    """Return whether a message has neither text nor calls."""
    return not message["content"].strip() and not message.get("tool_calls")


def kind_of(value: Any) -> str:
    """Return what a value is, for messages."""
    return (
        "nothing (null)"
        if is_blank(value) and not isinstance(value, str | list | dict)
        else type(value).__name__
    )


def _message(message: Any, name: str) -> Message:
    if not isinstance(message, Mapping):
        raise RowProblem("bad_message", f"'{name}' must be a message, found {kind_of(message)}")
    role_key, content_key = _keys(message, name)
    # Arrow gives every message every key that any message has; null is absent.
    rest = {
        key: value
        for key, value in message.items()
        if value is not None and key not in (role_key, content_key)
    }
    role = _role(message.get(role_key), name)
    content = message.get(content_key)
    calls = as_tool_calls(rest.pop("tool_calls", None), f"{name}.tool_calls")
    calls += as_tool_calls(rest.pop("function_call", None), f"{name}.function_call")
    if role == "function_call":
        role, calls, content = "assistant", as_tool_calls(content, f"{name}.{content_key}"), ""
    if calls and role != "assistant":
        raise RowProblem("bad_message", f"'{name}' has tool calls, but its role is {role}")
    if content is None and calls:
        content = ""
    text = _content(content, f"{name}.{content_key}")
    for key in _REFUSED:
        if not is_blank(rest.get(key)):
            raise RowProblem("bad_message", f"'{name}.{key}' would be ignored: it is not supported")
    require_json(rest, name, "bad_message")
    return {"role": role, "content": text, **({"tool_calls": calls} if calls else {}), **rest}


def _keys(message: Mapping[str, Any], name: str) -> tuple[str, str]:
    """Return the names of a message's role and content."""
    forms = (("role", "content"), ("from", "value"))
    sharegpt = "from" in message and "role" not in message
    role_key, content_key = forms[sharegpt]
    for key, other in zip(forms[sharegpt], forms[not sharegpt], strict=True):
        if not is_blank(message.get(key)) and not is_blank(message.get(other)):
            raise RowProblem("bad_message", f"'{name}' has both '{key}' and '{other}'")
    if role_key not in message:
        raise RowProblem(
            "bad_message", f"'{name}' has no '{role_key}'. {did_you_mean(role_key, message)}"
        )
    has_calls = message.get("tool_calls") or message.get("function_call")
    if content_key not in message and not has_calls:
        if sharegpt:
            raise RowProblem("bad_message", f"'{name}' must have 'from' and 'value'")
        raise RowProblem(
            "bad_message", f"'{name}' has no 'content'. {did_you_mean('content', message)}"
        )
    return role_key, content_key


def _role(value: Any, name: str) -> str:
    role = _ROLE_OF.get(value.strip().casefold()) if isinstance(value, str) else None
    if role is None:
        hint = did_you_mean(str(value), _ROLE_OF)
        raise RowProblem("bad_message", f"'{name}': unknown role {value!r}. {hint}")
    return role


def _content(value: Any, name: str) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, list | tuple):
        raise RowProblem("not_text", f"'{name}' must be text, found {kind_of(value)}")
    return "".join(_part(part, f"{name}[{i}]") for i, part in enumerate(value))


def _part(part: Any, name: str) -> str:
    """Return the text of one part of a content list."""
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise RowProblem("bad_message", f"'{name}' must be a part, found {kind_of(part)}")
    given = {key: value for key, value in part.items() if value is not None}
    kind, text = given.pop("type", "text"), given.pop("text", None)
    if kind != "text":
        raise RowProblem(
            "bad_message", f"'{name}': parts of type {kind!r} are not supported, text is"
        )
    if not isinstance(text, str):
        raise RowProblem("not_text", f"'{name}.text' must be text, found {kind_of(text)}")
    if given:
        raise RowProblem("bad_message", f"'{name}.{min(given)}' would be ignored: not supported")
    return text
