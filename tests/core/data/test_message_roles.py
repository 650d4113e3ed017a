"""Messages in every form: roles have one name each, their order is checked, nothing is dropped."""

import json
from typing import Any

import pytest

from tgdpo_core.data.formats import parse_row
from tgdpo_core.data.report import RowProblem


def m(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


U, A, B = m("user", "q"), m("assistant", "a"), m("assistant", "b")
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {}}}
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
OTHER = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Bergen"}}}
CALLS = m("assistant", "", tool_calls=[CALL])


def parsed(row: dict[str, Any]) -> tuple[Any, Any, Any]:
    pair = parse_row(row, where="here")
    return pair.prompt, pair.chosen, pair.rejected


def explicit(prompt: Any = (U,), chosen: Any = (A,), rejected: Any = (B,)) -> dict[str, Any]:
    return {"prompt": list(prompt), "chosen": list(chosen), "rejected": list(rejected)}


def whole(prompt: Any = (U,), chosen: Any = (A,), rejected: Any = (B,)) -> dict[str, Any]:
    return {"chosen": [*prompt, *chosen], "rejected": [*prompt, *rejected]}


def messages(prompt: Any = (U,), chosen: Any = (A,), rejected: Any = (B,)) -> dict[str, Any]:
    return {"messages": list(prompt), "chosen": list(chosen), "rejected": list(rejected)}


def sharegpt(prompt: Any = (U,), chosen: Any = (A,), rejected: Any = (B,)) -> dict[str, Any]:
    turns = [
        [{"from": each["role"], "value": each["content"]} for each in side]
        for side in (prompt, chosen, rejected)
    ]
    return dict(zip(("conversations", "chosen", "rejected"), turns, strict=True))


FORMATS = [explicit, whole, messages, sharegpt]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("user", "assistant"),
    [("human", "gpt"), ("Human", "Assistant"), ("USER", "model"), ("prompter", " bot ")],
)
def test_well_known_names_of_roles_are_mapped(form: Any, user: str, assistant: str) -> None:
    row = form([m(user, "q")], [m(assistant, "a")], [m(assistant, "b")])
    assert parsed(row) == ([U], [A], [B])


BAD_ORDER: dict[str, tuple[dict[str, Any], str]] = {
    "unknown role": ({"prompt": [m("wizard", "q")]}, r"\[0\]': unknown role 'wizard'"),
    "misspelt role": ({"prompt": [m("usr", "q")]}, "Did you mean 'user'"),
    "two users in a row": ({"prompt": [U, m("user", "r")]}, r"\[1\]' is the second user message"),
    "two assistants in a row": (
        {"prompt": [U, A, B, U]},
        r"\[2\]' is the second assistant message",
    ),
    "system in the middle": (
        {"prompt": [U, A, m("system", "s"), U]},
        r"\[2\]': a system message may only begin",
    ),
    "two systems": ({"prompt": [m("system", "s"), m("system", "t"), U]}, r"\[1\]': a system mess"),
    "a tool after the user": (
        {"prompt": [U, m("tool", "r")]},
        r"\[1\]': a tool message must follow",
    ),
    "an empty question": ({"prompt": [m("user", " ")]}, r"\[0\]' is empty"),
    "a response that ends with the user": (
        {"chosen": [A, m("user", "thanks")], "rejected": [B, m("user", "rude")]},
        "must end with an assistant message; .* is the user's",
    ),
    "a response of a tool": ({"chosen": [A, m("tool", "r")]}, "must end with an assistant message"),
    "no text at all": ({"chosen": [m("assistant", "")]}, "the last message of 'chosen' is empty"),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("sides", "message"), BAD_ORDER.values(), ids=BAD_ORDER.keys())
def test_a_dialogue_out_of_order_is_refused_in_every_format(
    form: Any, sides: dict[str, Any], message: str
) -> None:
    with pytest.raises(RowProblem, match=message):
        parsed(form(**sides))


@pytest.mark.parametrize("form", [explicit, messages, sharegpt])
def test_a_prompt_that_ends_with_the_assistant_is_refused(form: Any) -> None:
    with pytest.raises(RowProblem, match=r"\[1\]', is the assistant's"):
        parsed(form([U, m("assistant", "hm")]))


@pytest.mark.parametrize("form", [explicit, messages, sharegpt])
def test_a_response_with_another_role_is_refused(form: Any) -> None:
    with pytest.raises(RowProblem, match=r"must begin with an assistant message; 'rejected\[0\]'"):
        parsed(form(rejected=[m("user", "b")]))


def test_dialogues_that_diverge_early_are_refused_with_the_message() -> None:
    row = {"chosen": [U, A, U, A], "rejected": [U, B, U, A]}
    with pytest.raises(RowProblem, match=r"'chosen\[2\]' would be trained as part of 'chosen'"):
        parsed(row)


# -- content ----------------------------------------------------------------------------------


def test_parts_of_type_text_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": " b", "image_url": None}]
    assert parsed(explicit([m("user", parts)])) == ([m("user", "a b")], [A], [B])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"type": "image", "url": "x"}], "parts of type 'image' are not supported"),
        ([{"type": "thinking", "thinking": "x"}], "parts of type 'thinking'"),
        ([{"type": "text", "text": None}], r"content\[0\].text' must be text, found nothing"),
        ([{"type": "text", "text": "x", "cache_control": 1}], "cache_control' would be ignored"),
        (5, "must be text, found int"),
        ({"a": "b"}, "must be text, found dict"),
        (None, "must be text, found nothing"),
    ],
)
def test_content_that_is_not_text_is_refused_by_name(content: Any, message: str) -> None:
    with pytest.raises(RowProblem, match=message):
        parsed(explicit([m("user", content)]))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"weight": 0}, "weight' would be ignored"),
        ({"images": ["x"]}, "images' would be ignored"),
        ({"from": "gpt"}, "has both 'role' and 'from'"),
        ({"value": "x"}, "has both 'content' and 'value'"),
    ],
)
def test_what_a_message_says_beside_its_content_is_refused_or_kept(
    extra: Any, message: str
) -> None:
    with pytest.raises(RowProblem, match=message):
        parsed(explicit([{**U, **extra}]))


def test_further_keys_are_kept_for_the_template_and_nulls_are_not() -> None:
    given = {**A, "reasoning_content": "because", "name": "x", "tool_calls": None}
    _, chosen, _ = parsed(explicit(chosen=[given]))
    assert chosen == [{**A, "reasoning_content": "because", "name": "x"}]


# -- tools ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "assistant", "content": "", "tool_calls": json.dumps([CALL])},
        {"role": "assistant", "content": "", "tool_calls": [CALL["function"]]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}],
        },
        {"role": "assistant", "content": None, "function_call": CALL["function"]},
        {"from": "function_call", "value": json.dumps(CALL["function"])},
    ],
    ids=["null", "absent", "JSON", "bare", "arguments as text", "old OpenAI", "ShareGPT"],
)
@pytest.mark.parametrize("form", [explicit, whole, messages])
def test_a_call_is_an_answer_in_every_form(form: Any, given: dict[str, Any]) -> None:
    assert parsed(form(chosen=[given])) == ([U], [CALLS], [B])


def test_calls_and_results_may_come_before_the_answer() -> None:
    steps = [CALLS, m("tool", "rain", tool_call_id="c1")]
    assert parsed(explicit(chosen=[*steps, A], rejected=[*steps, B])) == (
        [U],
        [*steps, A],
        [*steps, B],
    )
    assert parsed(whole(chosen=[*steps, A], rejected=[*steps, B])) == ([U, *steps], [A], [B])


def test_two_calls_that_differ_in_their_arguments_are_a_pair() -> None:
    rejected = m("assistant", "", tool_calls=[OTHER])
    assert parsed(explicit(chosen=[CALLS], rejected=[rejected])) == ([U], [CALLS], [rejected])


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ([{"function": {"arguments": {}}}], "has no function name"),
        ([{"function": {"name": "x", "arguments": "{"}}], "arguments' is not valid JSON"),
        ([{"function": {"name": "x", "arguments": [1]}}], "arguments' must be an object"),
        (["x"], "must be a call, found str"),
        (5, "must be a list of calls"),
    ],
)
def test_a_broken_call_is_refused(calls: Any, message: str) -> None:
    with pytest.raises(RowProblem, match=message):
        parsed(explicit(chosen=[m("assistant", "", tool_calls=calls)]))


@pytest.mark.parametrize(
    "tools",
    [[TOOL], json.dumps([TOOL]), TOOL, [json.dumps(TOOL)]],
    ids=["list", "JSON", "one", "J"],
)
def test_tools_are_read_in_every_form(tools: Any) -> None:
    assert parse_row({**explicit(), "tools": tools}, where="here").tools == [TOOL]


@pytest.mark.parametrize("tools", [None, "", [], "[]", "null"])
def test_no_tools_are_none(tools: Any) -> None:
    assert parse_row({**explicit(), "tools": tools}, where="here").tools is None


@pytest.mark.parametrize("tools", ["3", ["x"], [3], 5])
def test_tools_that_are_none_are_refused(tools: Any) -> None:
    with pytest.raises(RowProblem, match="'tools"):
        parse_row({**explicit(), "tools": tools}, where="here")


@pytest.mark.parametrize("kwargs", [{"enable_thinking": False}, '{"enable_thinking": false}'])
def test_template_variables_of_a_row_are_kept(kwargs: Any) -> None:
    pair = parse_row({**explicit(), "chat_template_kwargs": kwargs}, where="here")
    assert pair.template_kwargs == {"enable_thinking": False}
    assert pair.columns == {}


def test_template_variables_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(RowProblem, match="must be a mapping, found list"):
        parse_row({**explicit(), "chat_template_kwargs": [1]}, where="here")


# -- messages as text -------------------------------------------------------------------------


@pytest.mark.parametrize("write", [json.dumps, str, lambda v: json.dumps(json.dumps(v))])
@pytest.mark.parametrize("form", FORMATS)
def test_messages_written_as_text_are_read(form: Any, write: Any) -> None:
    assert parsed({name: write(value) for name, value in form().items()}) == ([U], [A], [B])


@pytest.mark.parametrize(
    "text",
    [
        '[{"role": "user", "content": "q',
        "[{'role': 'user', 'content': 'q'}\n {'role': 'assistant', 'content': 'a'}]",
        "array([{'content': 'q', 'role': 'user'}], dtype=object)",
        '{"role": "user", "content": q}',
    ],
    ids=["cut off", "numpy", "numpy with its name", "not quoted"],
)
def test_text_that_looks_like_messages_and_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(RowProblem, match="looks like a list of messages"):
        parsed({"prompt": text, "chosen": "a", "rejected": "b"})


@pytest.mark.parametrize(
    "text", ['{"from": "Oslo", "to": "Rome"}', "[1, 2]", "[link](x)", '{"a": 1} is JSON', "{'a'"]
)
def test_other_text_with_brackets_stays_text(text: str) -> None:
    assert parsed({"prompt": "q", "chosen": text, "rejected": "b"}) == ("q", text, "b")


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [A], "chosen": [A], "rejected": [B]},
        {"messages": [A], "chosen": A, "rejected": B},
        {"messages": [A], "chosen": "a", "rejected": "b"},
        {"prompt": [A], "chosen": [A], "rejected": [B]},
    ],
    ids=["messages", "one message", "text", "a prompt column"],
)
def test_a_dialogue_of_nothing_but_the_chosen_response_has_no_prompt(row: dict[str, Any]) -> None:
    with pytest.raises(RowProblem, match="the prompt is empty") as caught:
        parse_row(row, where="here")
    assert caught.value.kind == "empty"


@pytest.mark.parametrize("write", [json.dumps, str])
@pytest.mark.parametrize(
    "row",
    [
        {"question": [U], "chosen": [A], "rejected": [B]},
        {"question": [U], "chosen": "a", "rejected": "b"},
        {"instruction": "q", "input": [U], "chosen": "a", "rejected": "b"},
        {"instruction": [U], "chosen": [A], "rejected": [B]},
        {"prompt": "q", "system": "s", "history": [[[U], "x"]], "chosen": "a", "rejected": "b"},
    ],
    ids=lambda row: ", ".join(row) if isinstance(row, dict) else "",
)
def test_messages_written_as_the_text_of_a_question_are_refused(
    row: dict[str, Any], write: Any
) -> None:
    def written(value: Any) -> Any:
        if value == [U]:
            return write(value)
        return [written(item) for item in value] if isinstance(value, list) else value

    row = {
        name: value if name in ("chosen", "rejected") else written(value)
        for name, value in row.items()
    }
    with pytest.raises(RowProblem, match="is text that holds messages"):
        parse_row(row, where="here")
