"""Rows that cannot be used: each is named by its place, with what is wrong."""

from typing import Any

import pytest

from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.report import DataReport
from tgdpo_core.errors import DataError

GOOD = {"prompt": "2+2=", "chosen": "4", "rejected": "5"}
Q = {"role": "user", "content": "q"}
A = {"role": "assistant", "content": "a"}
B = {"role": "assistant", "content": "b"}
TURN = {"from": "gpt", "value": "a"}

# Each case: the row, what it is counted under, the message after 'file:3: '.
BAD: dict[str, tuple[Any, str, str]] = {
    "a missing column": (
        {"prompt": "q", "chosen": "a", "reject": "b"},
        "missing_field",
        "no field 'rejected'. Did you mean 'reject'?",
    ),
    "null": ({**GOOD, "chosen": None}, "not_text", "'chosen' must be text or messages, found noth"),
    "a number": ({**GOOD, "rejected": 5}, "not_text", "'rejected' must be text or messages, found"),
    "null without prompt": (
        {"chosen": "a b", "rejected": None},
        "not_text",
        "'rejected' must be text or messages, found nothing (null)",
    ),
    "an empty response": ({**GOOD, "rejected": ""}, "empty", "'rejected' is empty"),
    "an empty prompt": ({**GOOD, "prompt": ""}, "empty", "'prompt' is empty"),
    "equal responses": (
        {**GOOD, "rejected": "4"},
        "identical",
        "'chosen' and 'rejected' are equal",
    ),
    "text and messages in one row": (
        {"prompt": [Q], "chosen": "a", "rejected": [B]},
        "mixed_formats",
        "'chosen' is text, 'rejected' is messages",
    ),
    "text and messages without prompt": (
        {"chosen": "a", "rejected": [Q, B]},
        "mixed_formats",
        "'chosen' is text, 'rejected' is messages",
    ),
    "a prompt that the dialogues do not begin with": (
        {"prompt": "other", "chosen": [Q, A], "rejected": [Q, B]},
        "mixed_formats",
        "'prompt' is text that the messages of 'chosen' do not begin with",
    ),
    "a message with a misspelt key": (
        {"prompt": [{"role": "user", "contents": "q"}], "chosen": [A], "rejected": [B]},
        "bad_message",
        "'prompt[0]' has no 'content'. Did you mean 'contents'?",
    ),
    "a message that is text": (
        {"prompt": ["q"], "chosen": [A], "rejected": [B]},
        "bad_message",
        "'prompt[0]' must be a message, found str",
    ),
    "a message with null content": (
        {"prompt": [Q], "chosen": [{"role": "assistant", "content": None}], "rejected": [B]},
        "not_text",
        "'chosen[0].content' must be text, found nothing (null)",
    ),
    "an empty last message": (
        {"prompt": [Q], "chosen": [{"role": "assistant", "content": ""}], "rejected": [B]},
        "empty",
        "the last message of 'chosen' is empty",
    ),
    "an empty dialogue beside a long one": (
        {"chosen": [], "rejected": [Q, A]},
        "empty",
        "'chosen' is empty",
    ),
    "a ShareGPT turn without value": (
        {"conversations": [{"from": "human"}], "chosen": TURN, "rejected": TURN},
        "bad_message",
        "'conversations[0]' must have 'from' and 'value'",
    ),
    "an unknown ShareGPT speaker": (
        {"conversations": [{"from": "humann", "value": "q"}], "chosen": TURN, "rejected": TURN},
        "bad_message",
        "'conversations[0]': unknown role 'humann'. Did you mean 'human'?",
    ),
    "an empty instruction": (
        {"instruction": "", "chosen": "a", "rejected": "b"},
        "empty",
        "'instruction' is empty",
    ),
    "a system text that is a number": (
        {"instruction": "q", "system": 5, "chosen": "a", "rejected": "b"},
        "not_text",
        "'system' must be text, found int",
    ),
    "tools that are not JSON": (
        {**GOOD, "tools": "[{"},
        "bad_tools",
        "'tools' is not valid JSON",
    ),
    "half an emoji": (
        {**GOOD, "chosen": "x\ud83d"},
        "not_text",
        "'chosen' holds the lone surrogate '\\ud83d'",
    ),
    "a row that is a list": (["a", "b"], "not_a_row", "a row must be a mapping of columns"),
}


def report_of(*rows: Any) -> DataReport:
    report = DataReport("file.jsonl")
    parse_rows([(f"file.jsonl:{i}", row) for i, row in enumerate(rows, 1)], report)
    return report


@pytest.mark.parametrize(("row", "kind", "message"), BAD.values(), ids=BAD.keys())
def test_a_bad_row_is_named_with_what_is_wrong(row: Any, kind: str, message: str) -> None:
    report = report_of(row)
    assert report.num_pairs == 0
    assert report.counts == {kind: 1}
    assert report.problems[0].startswith(f"file.jsonl:1: {message}")


def test_rows_of_two_kinds_in_one_file_are_refused() -> None:
    report = report_of(GOOD, {"prompt": [Q], "chosen": [A], "rejected": [B]})
    assert report.num_pairs == 1
    assert report.problems == [
        "file.jsonl:2: the row holds messages, file.jsonl:1 holds text",
    ]


def test_bad_rows_stop_by_default_and_all_are_counted() -> None:
    report = report_of(GOOD, {**GOOD, "rejected": "4"}, GOOD, {**GOOD, "chosen": None})
    with pytest.raises(DataError) as caught:
        report.raise_if_unusable("error")
    message = str(caught.value)
    assert message.startswith("file.jsonl: 2 of 4 rows cannot be used.")
    assert "file.jsonl:2: 'chosen' and 'rejected' are equal" in message
    assert "file.jsonl:4: 'chosen' must be text" in message
    assert "data.on_bad_row=skip" in message


@pytest.mark.parametrize(
    ("num_good", "advice"),
    [
        (3, "A setting is for all rows, and the other 3 are fine: mend the file, or leave"),
        (1, "Mend them, or leave"),  # which of the two is meant, nobody knows
        (0, "Mend them, or leave"),
    ],
)
def test_a_setting_for_one_row_is_not_advised_where_it_spoils_the_others(
    num_good: int, advice: str
) -> None:
    report = report_of(*[GOOD] * num_good, {"prompt": "1+1", "chosen": "2", "rejeced": "3"})
    assert "Did you mean 'rejected'? Then --set data.columns" in report.problems[0]
    with pytest.raises(DataError) as caught:
        report.raise_if_unusable("error")
    assert f"\n{advice} them out with" in str(caught.value)


def test_the_first_ten_bad_rows_are_shown_and_the_rest_counted() -> None:
    report = report_of(*[{**GOOD, "rejected": "4"}] * 13)
    lines = report.listed_problems().splitlines()
    assert len(lines) == 11
    assert lines[-1] == "  ... and 3 more"


def test_skipped_rows_are_counted() -> None:
    report = report_of(GOOD, {**GOOD, "rejected": "4"}, {**GOOD, "rejected": ""}, GOOD)
    report.raise_if_unusable("skip")
    assert report.as_dict() == {
        "source": "file.jsonl",
        "rows": 4,
        "pairs": 2,
        "left_out": 2,
        "counts": {"empty": 1, "identical": 1},
        "tokens": {},
    }


def test_skipping_every_row_is_an_error() -> None:
    with pytest.raises(DataError, match=r"file.jsonl: no usable pair in 1 rows.\n  file.jsonl:1"):
        report_of({**GOOD, "rejected": "4"}).raise_if_unusable("skip")


def test_no_rows_are_an_error() -> None:
    with pytest.raises(DataError, match="no usable pair in 0 rows"):
        report_of().raise_if_unusable("error")
