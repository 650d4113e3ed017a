"""Rows as people write them, and as they go wrong: layouts of every kind, then mutations."""

import json
from typing import Any

from hypothesis import strategies as st

WORDS = st.sampled_from(
    [
        "cat",
        "mat",
        "sea",
        "shells",
        "café",
        "🎉",
        "four",
        "eight",
        "yes",
        "2+2?",
        "naïve",
        "dog",
        "sat",
        "shore",
        "help",
    ]
)
TEXT = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)
ODD_TEXT = st.sampled_from(
    ["", " ", "\n", " x", "x\n", "[]", "{}", '["a"]', "[link](x)", '{"from": "Oslo"}', "null", "3"]
)

KNOWN = [
    *("prompt", "question", "query", "instruction", "input", "context", "system", "system_prompt"),
    *("messages", "conversations", "conversation", "history", "tools", "images"),
    *("chosen", "rejected", "chosen_response", "rejected_response", "response_j", "response_k"),
    *("Prompt", "System"),
]
FREE = ["id", "score", "source", "prompt_id", "margin", "chosen_rating"]
ROLES = [
    *("user", "assistant", "system", "tool", "human", "gpt", "Human", "Assistant", "model"),
    *("observation", "developer", "wizard"),
]
TOOL = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}


@st.composite
def calls(draw: st.DrawFn) -> list[Any]:
    """Return tool calls in one of the forms that are used."""
    arguments = {"city": draw(st.sampled_from(["Oslo", "Bergen", "Rome"]))}
    written = json.dumps(arguments) if draw(st.booleans()) else arguments
    function = {"name": "lookup", "arguments": written}
    return [function if draw(st.booleans()) else {"type": "function", "function": function}]


@st.composite
def message(draw: st.DrawFn, role: str | None = None) -> dict[str, Any]:
    """Return a message, most often a well-formed one."""
    role = role or draw(st.sampled_from(ROLES))
    keys = ("from", "value") if role in ("human", "gpt", "observation") else ("role", "content")
    content: Any = draw(TEXT)
    form = draw(st.integers(0, 19))
    if form == 0:
        content = [{"type": "text", "text": content}, {"type": "text", "text": draw(TEXT)}]
    elif form == 1:
        content = [{"type": "image", "url": "x"}]
    elif form == 2:
        content = draw(st.sampled_from([None, "", 5, {"a": "b"}]))
    result = {keys[0]: role, keys[1]: content}
    if role == "assistant" and draw(st.integers(0, 9)) == 0:
        result["tool_calls"] = draw(calls())
        result["content"] = draw(st.sampled_from([None, "", "so"]))
    return result


@st.composite
def turns(draw: st.DrawFn, *, last: str, sharegpt: bool = False) -> list[Any]:
    """Return a dialogue that ends with a user or an assistant."""
    user, assistant = ("human", "gpt") if sharegpt else ("user", "assistant")
    number = 2 * draw(st.integers(0, 1)) + (1 if last == "user" else 2)
    found = [draw(message((user, assistant)[i % 2])) for i in range(number)]
    if draw(st.integers(0, 3)) == 0:
        found.insert(0, draw(message("system")))
    return found


@st.composite
def text_layouts(draw: st.DrawFn) -> dict[str, Any]:
    """Return a row whose responses are text."""
    texts = {"chosen": draw(TEXT), "rejected": draw(TEXT)}
    start = f"\n\nHuman: {draw(TEXT)}\n\nAssistant: "
    history = st.lists(st.lists(TEXT, min_size=2, max_size=2), max_size=2)
    fields = draw(
        st.one_of(
            st.fixed_dictionaries({"prompt": TEXT}),
            st.fixed_dictionaries({"system": TEXT, "question": TEXT}),
            st.fixed_dictionaries({"instruction": TEXT, "input": TEXT, "history": history}),
            st.fixed_dictionaries({"messages": turns(last="user")}),
            st.just({}),
        )
    )
    if not fields:
        return {side: start + text for side, text in texts.items()}
    return {**fields, **texts}


@st.composite
def message_layouts(draw: st.DrawFn) -> dict[str, Any]:
    """Return a row whose responses are messages."""
    sharegpt = draw(st.booleans())
    dialogue = draw(turns(last="user", sharegpt=sharegpt))
    answer = message("gpt" if sharegpt else "assistant")
    chosen, rejected = draw(answer), draw(answer)
    row = {"prompt": dialogue, "chosen": [chosen], "rejected": [rejected]}
    whole = {"chosen": [*dialogue, chosen], "rejected": [*dialogue, rejected]}
    write = draw(st.sampled_from([json.dumps, str]))
    return draw(
        st.sampled_from(
            [
                {"conversations": dialogue, "chosen": chosen, "rejected": rejected},
                whole,
                {**whole, "prompt": dialogue},
                {**row, "tools": [TOOL]},
                {**row, "tools": json.dumps([TOOL])},
                {name: write(value) for name, value in row.items()},
            ]
        )
    )


@st.composite
def ultrafeedback(draw: st.DrawFn) -> dict[str, Any]:
    """Return a row with its prompt three times."""
    first = {"role": "user", "content": draw(TEXT)}
    sides = [[first, {"role": "assistant", "content": draw(TEXT)}] for _ in range(2)]
    row = {"prompt": first["content"], "chosen": sides[0], "rejected": sides[1]}
    return {**row, "messages": sides[0], "score_chosen": 3.5}


VALUES = st.one_of(
    TEXT,
    ODD_TEXT,
    st.none(),
    st.integers(-3, 3),
    st.booleans(),
    st.lists(TEXT, max_size=2),
    message(),
    st.lists(message(), max_size=3),
    st.lists(message(), max_size=2).map(json.dumps),
    st.lists(message(), max_size=2).map(str),
    st.lists(message(), min_size=1, max_size=2).map(lambda m: json.dumps(m)[:-5]),
    st.just([TOOL]),
    st.dictionaries(TEXT, TEXT, max_size=2),
)


@st.composite
def mutated(draw: st.DrawFn, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with one thing changed."""
    row, kind = dict(row), draw(st.integers(0, 5))
    name = draw(st.sampled_from(sorted(row)))
    if kind == 0:
        row[draw(st.sampled_from(KNOWN))] = draw(VALUES)
    elif kind == 1:
        row[name] = draw(VALUES)
    elif kind == 2:
        row[draw(st.sampled_from(KNOWN))] = row.pop(name)
    elif kind == 3:
        row[draw(st.sampled_from(FREE))] = draw(VALUES)
    elif kind == 4 and isinstance(row[name], list):
        place = draw(st.integers(0, len(row[name])))
        row[name] = [*row[name][:place], draw(message()), *row[name][place:]]
    else:
        row[name] = [row[name]]
    return row


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """Return a row: a layout with up to two mutations, or columns by chance."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.dictionaries(st.sampled_from(KNOWN + FREE), VALUES, max_size=5))
    row = draw(st.one_of(text_layouts(), message_layouts(), ultrafeedback()))
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
        row = draw(mutated(row)) if row else row
    return row
