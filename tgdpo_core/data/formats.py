"""The four row formats, turned into preference pairs.

1. ``prompt``, ``chosen``, ``rejected``: strings, or lists of messages (``role``, ``content``).
2. implicit prompt: ``chosen`` and ``rejected`` are whole transcripts (HH-RLHF) or whole message
   lists; what they share is the prompt.
3. ShareGPT: ``conversations``, ``chosen``, ``rejected`` with ``from``/``value`` (LLaMA-Factory).
4. ``instruction`` (``input``, ``system``), ``chosen``, ``rejected``: a single-turn chat.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tgdpo_core.data.pairs import Message, PreferencePair, Text
from tgdpo_core.data.report import DataReport, RowProblem
from tgdpo_core.data.sources import Row
from tgdpo_core.errors import did_you_mean

_HH_TURN = "\n\nAssistant:"
_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "system": "system",
    "observation": "tool",
    "tool": "tool",
}


def parse_rows(rows: Sequence[Row], report: DataReport) -> list[PreferencePair]:
    """Return the pairs of all usable rows; the others go into the report with their place."""
    pairs: list[PreferencePair] = []
    report.num_rows = len(rows)
    for where, row in rows:
        try:
            pair = parse_row(row, where=where)
            if pairs and pair.is_chat != pairs[0].is_chat:
                kinds = ("messages", "text") if pair.is_chat else ("text", "messages")
                raise RowProblem(
                    "mixed_formats", f"the row holds {kinds[0]}, {pairs[0].where} holds {kinds[1]}"
                )
            pairs.append(pair)
        except RowProblem as problem:
            report.add_problem(where, problem)
    report.num_pairs = len(pairs)
    return pairs


def parse_row(row: Mapping[str, Any], *, where: str) -> PreferencePair:
    """Return the pair of one row.

    Raises:
        RowProblem: a field is missing, empty or of the wrong type, or the responses are equal.
    """
    if not isinstance(row, Mapping):
        raise RowProblem("not_a_row", f"a row must be a mapping of columns, found {_kind(row)}")
    parse, used = _format_of(row)
    prompt, chosen, rejected = parse(row)
    for name, value in (("prompt", prompt), ("chosen", chosen), ("rejected", rejected)):
        if not value:
            raise RowProblem("empty", f"'{name}' is empty")
        _require_unicode(value, name)
    if chosen == rejected:
        raise RowProblem("identical", "'chosen' and 'rejected' are equal: nothing to prefer")
    columns = {name: value for name, value in row.items() if name not in used}
    tools = columns.pop("tools", None)
    return PreferencePair(prompt, chosen, rejected, where, columns, _parse_tools(tools))


Parsed = tuple[Text, Text, Text]
Parser = Callable[[Mapping[str, Any]], Parsed]


def _format_of(row: Mapping[str, Any]) -> tuple[Parser, set[str]]:
    both = {"chosen", "rejected"}
    if missing := sorted(both - row.keys()):
        raise RowProblem(
            "missing_field", f"no field '{missing[0]}'. {did_you_mean(missing[0], map(str, row))}"
        )
    if "conversations" in row:
        return _sharegpt, both | {"conversations", "system"}
    if "instruction" in row:
        return _instruction, both | {"instruction", "input", "system"}
    if "prompt" in row:
        return _explicit, both | {"prompt"}
    return _implicit, both


# -- the formats ---------------------------------------------------------------------------------


def _explicit(row: Mapping[str, Any]) -> Parsed:
    names = ("prompt", "chosen", "rejected")
    for name in names:
        if not isinstance(row[name], str | list | Mapping):
            raise RowProblem(
                "not_text", f"'{name}' must be text or messages, found {_kind(row[name])}"
            )
    prompt, chosen, rejected = (row[name] for name in names)
    are_text = [isinstance(value, str) for value in (prompt, chosen, rejected)]
    if all(are_text):
        return prompt, chosen, rejected
    if are_text == [True, False, False]:
        return _prompt_repeated(prompt, *_implicit(row))
    if any(are_text):
        kinds = ", ".join(f"'{n}' is {_kind(row[n])}" for n in names)
        raise RowProblem("mixed_formats", f"text and messages in one row: {kinds}")
    return _messages(row, "prompt"), _messages(row, "chosen"), _messages(row, "rejected")


def _prompt_repeated(prompt: str, messages: Text, chosen: Text, rejected: Text) -> Parsed:
    """UltraFeedback's form: ``prompt`` as text and again as first user message of the dialogues."""
    users = [m["content"] for m in messages if isinstance(m, Mapping) and m["role"] == "user"]
    if prompt not in users:
        raise RowProblem(
            "mixed_formats", "'prompt' is text that the messages of 'chosen' do not begin with"
        )
    return messages, chosen, rejected


def _implicit(row: Mapping[str, Any]) -> Parsed:
    chosen, rejected = row["chosen"], row["rejected"]
    if isinstance(chosen, str) and isinstance(rejected, str):
        if not chosen or not rejected:
            raise RowProblem("empty", f"'{'rejected' if chosen else 'chosen'}' is empty")
        cut = _transcript_boundary(chosen, rejected)
        return chosen[:cut], chosen[cut:], rejected[cut:]
    if isinstance(chosen, str) and isinstance(rejected, list | Mapping):
        raise RowProblem("mixed_formats", "'chosen' is text, 'rejected' is messages")
    if isinstance(chosen, str):
        _text(row, "rejected")
    turns_w, turns_l = _messages(row, "chosen"), _messages(row, "rejected")
    # Each side keeps at least its last message as response.
    limit = max(min(len(turns_w), len(turns_l)) - 1, 0)
    same = (a == b for a, b in zip(turns_w[:limit], turns_l[:limit], strict=True))
    shared = next((i for i, equal in enumerate(same) if not equal), limit)
    return turns_w[:shared], turns_w[shared:], turns_l[shared:]


def _transcript_boundary(chosen: str, rejected: str) -> int:
    """Return where the responses begin: after the last assistant mark that both sides share.

    Without such a mark: where they diverge, moved back to the start of a word, so that neither
    response begins inside one; never so far that a response is empty.
    """
    differs = (i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b)
    shared = next(differs, min(len(chosen), len(rejected)))
    mark = chosen.rfind(_HH_TURN, 0, shared)
    if mark >= 0:
        return mark + len(_HH_TURN)
    shared = min(shared, len(chosen) - 1, len(rejected) - 1)
    while shared > 0 and not chosen[shared - 1].isspace():
        shared -= 1
    return max(shared, 0)


def _sharegpt(row: Mapping[str, Any]) -> Parsed:
    system = row.get("system")
    prompt: list[Message] = []
    if system:
        prompt.append({"role": "system", "content": _text(row, "system")})
    prompt += _turns(row["conversations"], "conversations")
    return prompt, _turns([row["chosen"]], "chosen"), _turns([row["rejected"]], "rejected")


def _instruction(row: Mapping[str, Any]) -> Parsed:
    system = [{"role": "system", "content": _text(row, "system")}] if row.get("system") else []
    question = _text(row, "instruction")
    if row.get("input"):
        question = f"{question}\n{_text(row, 'input')}"
    if not question:
        raise RowProblem("empty", "'instruction' is empty")
    prompt = [*system, {"role": "user", "content": question}]
    sides = ([{"role": "assistant", "content": _response(row, s)}] for s in ("chosen", "rejected"))
    chosen, rejected = sides
    return prompt, chosen, rejected


# -- checks ---------------------------------------------------------------------------------------


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if not isinstance(value, str):
        raise RowProblem("not_text", f"'{name}' must be text, found {_kind(value)}")
    return value


def _require_unicode(value: Text, name: str) -> None:
    """Refuse lone surrogates (half an emoji escaped in JSON): no tokenizer takes them."""
    texts = [value] if isinstance(value, str) else [message["content"] for message in value]
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            found = text[error.start]
            raise RowProblem("not_text", f"'{name}' holds the lone surrogate {found!a}") from error


def _response(row: Mapping[str, Any], name: str) -> str:
    text = _text(row, name)
    if not text:
        raise RowProblem("empty", f"'{name}' is empty")
    return text


def _messages(row: Mapping[str, Any], name: str) -> list[Message]:
    """Return a checked message list; ``chosen`` may be one message."""
    value = row[name]
    value = [value] if isinstance(value, Mapping) else value
    if not isinstance(value, list):
        raise RowProblem(
            "not_text", f"'{name}' must be text or a list of messages, found {_kind(value)}"
        )
    for i, message in enumerate(value):
        _check_message(message, f"{name}[{i}]")
    if name != "prompt" and value and not value[-1]["content"]:
        raise RowProblem("empty", f"the last message of '{name}' is empty")
    return value


def _check_message(message: Any, name: str) -> None:
    if not isinstance(message, Mapping):
        raise RowProblem("bad_message", f"'{name}' must be a message, found {_kind(message)}")
    for key in ("role", "content"):
        if key not in message:
            raise RowProblem(
                "bad_message", f"'{name}' has no '{key}'. {did_you_mean(key, message)}"
            )
        if not isinstance(message[key], str):
            found = _kind(message[key])
            raise RowProblem("not_text", f"'{name}.{key}' must be text, found {found}")


def _turns(value: Any, name: str) -> list[Message]:
    """Return ShareGPT turns (``from``, ``value``) as messages."""
    if not isinstance(value, list):
        raise RowProblem("not_text", f"'{name}' must be a list of turns, found {_kind(value)}")
    messages: list[Message] = []
    for i, turn in enumerate(value):
        if not isinstance(turn, Mapping) or not {"from", "value"} <= turn.keys():
            raise RowProblem("bad_message", f"'{name}[{i}]' must have 'from' and 'value'")
        if not isinstance(turn["value"], str):
            found = _kind(turn["value"])
            raise RowProblem("not_text", f"'{name}[{i}].value' must be text, found {found}")
        if not turn["value"] and name != "conversations":
            raise RowProblem("empty", f"'{name}' is empty")
        if turn["from"] not in _ROLES:
            hint = did_you_mean(str(turn["from"]), _ROLES)
            raise RowProblem("bad_message", f"'{name}[{i}]': unknown role {turn['from']!r}. {hint}")
        messages.append({"role": _ROLES[turn["from"]], "content": turn["value"]})
    return messages


def _parse_tools(tools: Any) -> Sequence[Any] | None:
    if isinstance(tools, str):
        try:
            tools = json.loads(tools) if tools.strip() else None
        except json.JSONDecodeError as error:
            raise RowProblem("bad_tools", f"'tools' is not valid JSON: {error}") from error
    return tools or None


def _kind(value: Any) -> str:
    return "nothing (null)" if value is None else type(value).__name__
