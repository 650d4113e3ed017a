"""Tool calls and tool descriptions, in the one form that chat templates expect."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tgdpo_core.data.columns import is_blank
from tgdpo_core.data.report import RowProblem


def as_tool_calls(value: Any, name: str) -> list[Mapping[str, Any]]:
    """Return calls as ``{"type": "function", "function": {"name", "arguments": {...}}}``.

    Arguments written as JSON text (OpenAI's form) become a mapping: a template would quote the text
    a second time.

    Args:
        value: a list of calls, one call, or JSON text of them; null is no call.
        name: where it stands, for messages.

    Raises:
        RowProblem: a call without a name, or arguments that are no mapping.
    """
    if is_blank(value):
        return []
    value = _json(value, name, "bad_tool_call") if isinstance(value, str) else value
    calls = [value] if isinstance(value, Mapping) else value
    if not isinstance(calls, list | tuple):
        raise RowProblem("bad_tool_call", f"'{name}' must be a list of calls")
    return [_call(call, f"{name}[{i}]") for i, call in enumerate(calls)]


def as_tools(value: Any, name: str) -> Sequence[Any] | None:
    """Return tool descriptions from a list, one description, or JSON text; None for none.

    Raises:
        RowProblem: not JSON, or not a list of objects.
    """
    if is_blank(value):
        return None
    value = _json(value, name, "bad_tools") if isinstance(value, str) else value
    tools = [value] if isinstance(value, Mapping) else value
    if is_blank(tools):
        return None
    if not isinstance(tools, list | tuple):
        raise RowProblem(
            "bad_tools", f"'{name}' must be a list of tools, found {type(tools).__name__}"
        )
    tools = [
        _json(t, f"{name}[{i}]", "bad_tools") if isinstance(t, str) else t
        for i, t in enumerate(tools)
    ]
    for i, tool in enumerate(tools):
        if not isinstance(tool, Mapping):
            raise RowProblem(
                "bad_tools", f"'{name}[{i}]' must be an object, found {type(tool).__name__}"
            )
    require_json(tools, name, "bad_tools")
    return tools


def require_json(value: Any, name: str, kind: str) -> None:
    """Raise ``RowProblem`` for what JSON has no form for: no template can write it."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RowProblem(kind, f"'{name}' holds what JSON cannot: {error}") from error


def _call(call: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(call, Mapping):
        raise RowProblem("bad_tool_call", f"'{name}' must be a call, found {type(call).__name__}")
    given = {key: value for key, value in call.items() if value is not None}
    function = given.pop("function", None)
    if function is None:
        function = {
            key: given.pop(key) for key in ("name", "arguments", "parameters") if key in given
        }
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise RowProblem("bad_tool_call", f"'{name}' has no function name")
    function = {key: value for key, value in function.items() if value is not None}
    if "parameters" in function and "arguments" not in function:
        function["arguments"] = function.pop("parameters")
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        arguments = _json(arguments, f"{name}.arguments", "bad_tool_call") if arguments else {}
    if not isinstance(arguments, Mapping):
        raise RowProblem(
            "bad_tool_call",
            f"'{name}.arguments' must be an object, found {type(arguments).__name__}",
        )
    result = {"type": "function", **given, "function": {**function, "arguments": dict(arguments)}}
    require_json(result, name, "bad_tool_call")
    return result


def _json(text: str, name: str, kind: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RowProblem(kind, f"'{name}' is not valid JSON: {error}") from error
