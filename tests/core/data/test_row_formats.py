"""Rows of all formats: what each becomes, written out by hand."""

from collections.abc import Mapping
from typing import Any

import pytest

from tgdpo_core.data.formats import parse_row
from tgdpo_core.data.pairs import PreferencePair


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict[str, str]:
    return {"role": "system", "content": text}


def parsed(row: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    pair = parse_row(row, where="here")
    return pair.prompt, pair.chosen, pair.rejected


Q, A, B = user("2+2?"), assistant("4"), assistant("5")

# Each case: the row, then prompt, chosen and rejected as they must come out.
EXPECTED: dict[str, tuple[dict[str, Any], Any, Any, Any]] = {
    "strings": ({"prompt": "2+2=", "chosen": "4", "rejected": "5"}, "2+2=", "4", "5"),
    "messages": ({"prompt": [Q], "chosen": [A], "rejected": [B]}, [Q], [A], [B]),
    "one message instead of a list": (
        {"prompt": [Q], "chosen": A, "rejected": B},
        [Q],
        [A],
        [B],
    ),
    "UltraFeedback: prompt text and whole dialogues": (
        {"prompt": "2+2?", "chosen": [Q, A], "rejected": [Q, B]},
        [Q],
        [A],
        [B],
    ),
    "HH, one turn": (
        {
            "chosen": "\n\nHuman: hi\n\nAssistant: Hello.",
            "rejected": "\n\nHuman: hi\n\nAssistant: Go away.",
        },
        "\n\nHuman: hi\n\nAssistant:",
        " Hello.",
        " Go away.",
    ),
    "HH, the responses begin alike": (
        {
            "chosen": "\n\nHuman: hi\n\nAssistant: I can help.",
            "rejected": "\n\nHuman: hi\n\nAssistant: I can not.",
        },
        "\n\nHuman: hi\n\nAssistant:",
        " I can help.",
        " I can not.",
    ),
    "HH, the transcripts diverge before the last turn": (
        {
            "chosen": "\n\nHuman: hi\n\nAssistant: Yes?\n\nHuman: why\n\nAssistant: So.",
            "rejected": "\n\nHuman: hi\n\nAssistant: No!\n\nHuman: why\n\nAssistant: So.",
        },
        "\n\nHuman: hi\n\nAssistant:",
        " Yes?\n\nHuman: why\n\nAssistant: So.",
        " No!\n\nHuman: why\n\nAssistant: So.",
    ),
    "HH, one answer is a prefix of the other": (
        {
            "chosen": "\n\nHuman: what?\n\nAssistant: The sky",
            "rejected": "\n\nHuman: what?\n\nAssistant: The sky is blue",
        },
        "\n\nHuman: what?\n\nAssistant:",
        " The sky",
        " The sky is blue",
    ),
    "implicit prompt of messages": (
        {"chosen": [Q, A], "rejected": [Q, B]},
        [Q],
        [A],
        [B],
    ),
    "ShareGPT": (
        {
            "conversations": [
                {"from": "human", "value": "2+2?"},
                {"from": "gpt", "value": "4"},
                {"from": "human", "value": "sure?"},
            ],
            "chosen": {"from": "gpt", "value": "Yes"},
            "rejected": {"from": "gpt", "value": "No"},
        },
        [Q, A, user("sure?")],
        [assistant("Yes")],
        [assistant("No")],
    ),
    "ShareGPT with a system text": (
        {
            "system": "Be brief.",
            "conversations": [{"from": "human", "value": "2+2?"}],
            "chosen": {"from": "gpt", "value": "4"},
            "rejected": {"from": "gpt", "value": "5"},
        },
        [system("Be brief."), Q],
        [A],
        [B],
    ),
    "instruction": (
        {"instruction": "2+2?", "chosen": "4", "rejected": "5"},
        [Q],
        [A],
        [B],
    ),
    "instruction, input and system": (
        {
            "system": "Be brief.",
            "instruction": "Translate.",
            "input": "chat",
            "chosen": "cat",
            "rejected": "hat",
        },
        [system("Be brief."), user("Translate.\nchat")],
        [assistant("cat")],
        [assistant("hat")],
    ),
}


@pytest.mark.parametrize(
    ("row", "prompt", "chosen", "rejected"), EXPECTED.values(), ids=EXPECTED.keys()
)
def test_a_row_becomes_the_pair_written_out(
    row: dict[str, Any], prompt: Any, chosen: Any, rejected: Any
) -> None:
    assert parsed(row) == (prompt, chosen, rejected)


def test_other_columns_are_kept_and_used_ones_are_not() -> None:
    pair = parse_row({"prompt": "a", "chosen": "b", "rejected": "c", "score": 3}, where="here")
    assert pair.columns == {"score": 3}


def test_the_place_of_a_row_is_kept() -> None:
    pair = parse_row({"prompt": "a", "chosen": "b", "rejected": "c"}, where="file.jsonl:7")
    assert pair.where == "file.jsonl:7"


def test_tools_are_read_from_json_text() -> None:
    row = {"prompt": [Q], "chosen": [A], "rejected": [B], "tools": '[{"name": "add"}]'}
    assert parse_row(row, where="here").tools == [{"name": "add"}]


@pytest.mark.parametrize(
    ("prompt", "is_chat"), [("2+2=", False), ([Q], True)], ids=["text", "messages"]
)
def test_a_pair_knows_whether_it_is_a_chat(prompt: Any, is_chat: bool) -> None:
    pair = PreferencePair(prompt, "4", "5", "here")
    assert pair.is_chat is is_chat
