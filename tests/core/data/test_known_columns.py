"""A column with a known name is used, stands in the pair all the same, or the row is refused."""

from typing import Any

import pytest

from tgdpo_core.data.columns import RowReading
from tgdpo_core.data.formats import parse_row, parse_rows
from tgdpo_core.data.report import DataReport, RowProblem

U, A, B = (
    {"role": role, "content": text}
    for role, text in (("user", "2+2?"), ("assistant", "It is 4."), ("assistant", "It is 5."))
)
S = {"role": "system", "content": "Be brief."}
TEXTS = {"chosen": "It is 4.", "rejected": "It is 5."}
SIDES = {"chosen": [A], "rejected": [B]}
WHOLE = {"chosen": [U, A], "rejected": [U, B]}
EARLIER = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]


def parsed(row: Any, **reading: Any) -> tuple[Any, Any, Any]:
    pair = parse_row(row, where="here", reading=RowReading(**reading))
    return pair.prompt, pair.chosen, pair.rejected


# Each case: a layout that people have, and its prompt.
CHATS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "orca": ({"system": "Be brief.", "question": "2+2?", **TEXTS}, [S, U]),
    "orca, no system text": ({"system": "", "question": "2+2?", **TEXTS}, [U]),
    "argilla": ({"system": "Be brief.", "input": "2+2?", **TEXTS}, [S, U]),
    "messages and texts": ({"messages": [U], **TEXTS}, [U]),
    "messages and messages": ({"messages": [U], **SIDES}, [U]),
    "messages and one message a side": ({"messages": [U], "chosen": A, "rejected": B}, [U]),
    "messages that hold the chosen answer": ({"messages": [U, A], **TEXTS}, [U]),
    "explicit with a system text": ({"system": "Be brief.", "prompt": "2+2?", **TEXTS}, [S, U]),
    "explicit messages with a system text": (
        {"system": "Be brief.", "prompt": [U], **SIDES},
        [S, U],
    ),
    "a system message in its column": ({"system": [S], "prompt": [U], **SIDES}, [S, U]),
    "a system text that the dialogue holds": (
        {"system": "Be brief.", "prompt": [S, U], **SIDES},
        [S, U],
    ),
    "prompt as text, responses as messages": ({"prompt": "2+2?", **SIDES}, [U]),
    "prompt as messages, responses as text": ({"prompt": [U], **TEXTS}, [U]),
    "whole dialogues with a system text": ({"system": "Be brief.", **WHOLE}, [S, U]),
    "alpaca with a history": (
        {"instruction": "2+2?", "input": "", "history": [["1+1?", "2"]], **TEXTS},
        [*EARLIER, U],
    ),
    "a history of messages": ({"question": "2+2?", "history": EARLIER, **TEXTS}, [*EARLIER, U]),
    "dolly's context": (
        {"instruction": "2+2?", "context": "mod 3", **TEXTS},
        [{"role": "user", "content": "2+2?\nmod 3"}],
    ),
    "stack exchange": (
        {"question": "2+2?", "response_j": "It is 4.", "response_k": "It is 5."},
        [U],
    ),
    "chosen_response": (
        {"prompt": [U], "chosen_response": "It is 4.", "rejected_response": "It is 5."},
        [U],
    ),
    "OpenAI": (
        {
            "input": {"messages": [U], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [A],
            "non_preferred_output": [B],
        },
        [U],
    ),
    "UltraFeedback with scores": (
        {"prompt": "2+2?", "prompt_id": "x", **WHOLE, "messages": [U, A], "score_chosen": 8.0},
        [U],
    ),
    "names in another case": (
        {"Question": "2+2?", "Chosen": "It is 4.", "Rejected": "It is 5."},
        [U],
    ),
    "ShareGPT with a system text": (
        {
            "system": "Be brief.",
            "conversations": [{"from": "human", "value": "2+2?"}],
            "chosen": {"from": "gpt", "value": "It is 4."},
            "rejected": {"from": "gpt", "value": "It is 5."},
        },
        [S, U],
    ),
    "ShareGPT whose sides hold the dialogue": (
        {
            "conversations": [{"from": "human", "value": "2+2?"}],
            "chosen": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "It is 4."}],
            "rejected": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "It is 5."}],
        },
        [U],
    ),
    "the prompt repeated in the sides": ({"prompt": [U], **WHOLE}, [U]),
    "the prompt repeated, a system message in the sides only": (
        {"prompt": [U], "chosen": [S, U, A], "rejected": [S, U, B]},
        [S, U],
    ),
    "the prompt repeated, a system message in the prompt only": (
        {"prompt": [S, U], **WHOLE},
        [S, U],
    ),
}


@pytest.mark.parametrize(("row", "prompt"), CHATS.values(), ids=CHATS.keys())
def test_a_layout_that_people_have_is_read(row: dict[str, Any], prompt: list[Any]) -> None:
    assert parsed(row) == (prompt, [A], [B])


REPEATED = "What is 2+2?"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {"prompt": REPEATED, "chosen": f"{REPEATED} 4", "rejected": f"{REPEATED} 5"},
            (REPEATED, " 4", " 5"),
        ),
        (
            {"prompt": REPEATED, "chosen": f"{REPEATED} 4", "rejected": "5"},
            (REPEATED, f"{REPEATED} 4", "5"),
        ),
        ({"prompt": "2+2=", "chosen": "2+2=4", "rejected": "2+2=5"}, ("2+2=", "2+2=4", "2+2=5")),
        (
            {
                "prompt": "hi",
                "chosen": "\n\nHuman: hi\n\nAssistant: Yes",
                "rejected": "\n\nHuman: hi\n\nAssistant: No",
            },
            ("\n\nHuman: hi\n\nAssistant:", " Yes", " No"),
        ),
    ],
    ids=["both sides", "one side", "one word", "HH transcripts"],
)
def test_a_text_prompt_that_both_sides_repeat_is_cut(row: Any, expected: Any) -> None:
    assert parsed(row) == expected


def test_an_explicit_prompt_that_is_asked_for_is_not_cut() -> None:
    row = {"prompt": REPEATED, "chosen": f"{REPEATED} 4", "rejected": f"{REPEATED} 5"}
    assert parsed(row, format="explicit") == tuple(row.values())


def test_cuts_are_counted() -> None:
    report = DataReport("rows")
    parse_rows([("1", {"prompt": [U], **WHOLE})], report)
    assert report.counts == {"prompt_repeated": 1}


IGNORED: dict[str, tuple[dict[str, Any], str]] = {
    "a question beside HH transcripts": (
        {
            "question": "why?",
            "chosen": "\n\nHuman: hi\n\nAssistant: Yes",
            "rejected": "\n\nHuman: hi\n\nAssistant: No",
        },
        "'question' would be ignored",
    ),
    "an input beside a prompt": ({"prompt": "2+2?", "input": "mod 3", **TEXTS}, "'input' would be"),
    "a context beside a question": (
        {"question": "2+2?", "context": "mod 3", **TEXTS},
        "'context' would be ignored.*data.columns.context=null",
    ),
    "messages of another dialogue": (
        {"prompt": "2+2?", **WHOLE, "messages": [{"role": "user", "content": "other"}]},
        "'messages' would be ignored",
    ),
    "a second chosen": (
        {"question": "q", **TEXTS, "chosen_response": "six"},
        "'chosen_response' w",
    ),
    "two system texts": ({"system": "Be long.", "prompt": [S, U], **SIDES}, "two different system"),
    "images": ({"prompt": [U], **SIDES, "images": ["a.png"]}, "'images' would be ignored"),
    "a misspelt name": ({"sytem": "Be brief.", "prompt": [U], **SIDES}, "Did you mean 'system'"),
    "two names for one column": ({"prompt": [U], "Prompt": [U], **SIDES}, "are one name"),
    "a history that is text": ({"question": "q", "history": "a post", **TEXTS}, "read neither as"),
    "a history of triples": (
        {"question": "q", "history": [["a", "b", "c"]], **TEXTS},
        r"history\[0\]",
    ),
    "a number for a question": ({"question": 5, **TEXTS}, "'question' must be text, found int"),
}


@pytest.mark.parametrize(("row", "message"), IGNORED.values(), ids=IGNORED.keys())
def test_a_column_that_would_be_ignored_is_named(row: dict[str, Any], message: str) -> None:
    with pytest.raises(RowProblem, match=message):
        parsed(row)


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": "The answer is 4.", "rejected": "The answer is 5."},
        {"chosen": "Blue.", "rejected": "No idea."},
        {"id": 3, **SIDES},
    ],
    ids=["common words", "no common word", "messages"],
)
def test_a_row_without_prompt_is_refused_with_the_ways_out(row: dict[str, Any]) -> None:
    with pytest.raises(RowProblem, match=r"data\.columns\.prompt=COLUMN.*data\.format=implicit"):
        parsed(row)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {"chosen": "The sky", "rejected": "The sky is blue"},
            ("The ", "sky", "sky is blue"),
        ),
        (
            {"chosen": "It is a category", "rejected": "It is a cathedral"},
            ("It is a ", "category", "cathedral"),
        ),
        (
            {"chosen": [U, A, U, A], "rejected": [U, B, U, A]},
            ([U], [A, U, A], [B, U, A]),
        ),
    ],
    ids=["one a prefix of the other", "inside a word", "dialogues that diverge early"],
)
def test_an_implicit_prompt_is_taken_when_asked_for(row: Any, expected: Any) -> None:
    assert parsed(row, format="implicit") == expected


@pytest.mark.parametrize(
    ("format", "row", "missing"),
    [
        ("explicit", {"question": "q", **TEXTS}, "prompt"),
        ("sharegpt", {"prompt": "q", **TEXTS}, "messages"),
        ("instruction", {"messages": [U], **TEXTS}, "prompt or instruction"),
    ],
)
def test_a_format_that_is_asked_for_must_be_there(format: str, row: Any, missing: str) -> None:
    with pytest.raises(
        RowProblem, match=f"data.format is {format}, but nothing stands in {missing}"
    ):
        parsed(row, format=format)


def test_the_format_instruction_makes_a_chat_of_texts() -> None:
    assert parsed({"prompt": "2+2?", **TEXTS}, format="instruction") == ([U], [A], [B])


@pytest.mark.parametrize(
    "name",
    [
        "prompt_id",
        "chosen_score",
        "rejected_model",
        "source",
        "margin",
        "answer",
        "rating",
        "response",
    ],
)
def test_metadata_are_free_columns(name: str) -> None:
    pair = parse_row({"prompt": "2+2=", **TEXTS, name: "x"}, where="here")
    assert pair.columns == {name: "x"}


def test_a_data_frames_arrays_and_missing_values_are_read() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame([{"messages": [U], "system": None, **TEXTS}])
    frame["system"] = frame["system"].astype("string")
    frame["messages"] = frame["messages"].map(lambda value: __import__("numpy").array(value))
    assert parsed(frame.to_dict("records")[0]) == ([U], [A], [B])
