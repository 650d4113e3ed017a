"""Responses that go on: no EOS and no closing mark of a chat template is added to them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tgdpo_core.data.formats import parse_row
from tgdpo_core.data.pair_table import PairRules, read_pairs, swapped
from tgdpo_core.data.pairs import PreferencePair, TokenizedPair, text_hash
from tgdpo_core.data.report import DataReport, RowProblem
from tgdpo_core.data.retokenization import retokenize
from tgdpo_core.data.row_table import ListedRows
from tgdpo_core.data.text_rules import TextRules, with_rules
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs

TEXT = {"prompt": "The cat", "chosen": " sat on the mat and", "rejected": " is four."}
CHAT = {
    "prompt": [{"role": "user", "content": "Go on."}],
    "chosen": [{"role": "assistant", "content": "A joy to drive and"}],
    "rejected": [{"role": "assistant", "content": "No."}],
}


def pair_of(row: dict[str, Any], **said: Any) -> PreferencePair:
    return parse_row({**row, **said}, where="row 1")


def tokenized(pairs: Sequence[PreferencePair], tokenizer: Any) -> tuple[list[TokenizedPair], Any]:
    report = DataReport("test", num_rows=len(pairs))
    found = tokenize_pairs(pairs, tokenizer, LengthLimits(), report)
    report.raise_if_unusable("error")
    return found, report


def test_text_that_goes_on_has_no_eos(small_tokenizer: Any) -> None:
    pairs = [pair_of(TEXT), pair_of(TEXT, chosen_finished=False)]
    (ended, open_end), report = tokenized(pairs, small_tokenizer)
    eos = small_tokenizer.eos_token_id
    assert ended.chosen.ids[-1] == ended.rejected.ids[-1] == open_end.rejected.ids[-1] == eos
    np.testing.assert_array_equal(open_end.chosen.ids, ended.chosen.ids[:-1])
    assert open_end.chosen.text == TEXT["chosen"]
    assert report.counts["chosen_unfinished"] == 1
    assert "rejected_unfinished" not in report.counts


def test_a_chat_that_goes_on_ends_with_its_last_word(chat_tokenizer: Any) -> None:
    pairs = [pair_of(CHAT), pair_of(CHAT, chosen_finished=False, rejected_finished=False)]
    (ended, open_end), report = tokenized(pairs, chat_tokenizer)
    assert ended.chosen.text.endswith("and</s>\n")
    assert (open_end.chosen.text, open_end.rejected.text) == ("A joy to drive and", "No.")
    assert chat_tokenizer.eos_token_id not in open_end.chosen.ids
    assert report.counts["rejected_unfinished"] == 1
    assert report.counts["tokens_after_eos"] == 1  # of the first row alone


def test_a_chat_without_a_template_goes_on_in_the_same_way(small_tokenizer: Any) -> None:
    pairs = [pair_of(CHAT), pair_of(CHAT, chosen_finished=False)]
    (ended, open_end), _ = tokenized(pairs, small_tokenizer)
    np.testing.assert_array_equal(open_end.chosen.ids, ended.chosen.ids[:-1])


def test_special_tokens_in_an_open_chat_stay_ordinary_text(chat_tokenizer: Any) -> None:
    row = {**CHAT, "chosen": [{"role": "assistant", "content": "say </s> and"}]}
    (open_end,), _ = tokenized([pair_of(row, chosen_finished=False)], chat_tokenizer)
    assert open_end.chosen.text == "say </s> and"
    assert chat_tokenizer.eos_token_id not in open_end.chosen.ids


@pytest.mark.parametrize("row", [TEXT, CHAT], ids=["text", "chat"])
def test_a_switch_leaves_all_responses_open(row: dict[str, Any], chat_tokenizer: Any) -> None:
    pair = with_rules(pair_of(row), TextRules(add_eos="never"))
    (open_end,), _ = tokenized([pair], chat_tokenizer)
    for response in (open_end.chosen, open_end.rejected):
        assert chat_tokenizer.eos_token_id not in response.ids


@pytest.mark.parametrize("value", [True, None, "", "true", float("nan")])
def test_a_row_that_says_nothing_else_ends(value: Any) -> None:
    assert pair_of(TEXT, chosen_finished=value).unfinished == ()


@pytest.mark.parametrize("value", [False, "false", " False "])
def test_a_row_says_that_it_goes_on(value: Any) -> None:
    assert pair_of(TEXT, rejected_finished=value).unfinished == ("rejected",)


@pytest.mark.parametrize("value", ["no", 0, 1, "cut", [False]])
def test_another_value_is_a_bad_row(value: Any) -> None:
    with pytest.raises(RowProblem, match="'chosen_finished' must be true or false"):
        pair_of(TEXT, chosen_finished=value)


def test_a_call_of_a_tool_cannot_go_on(chat_tokenizer: Any) -> None:
    call = {"function": {"name": "add", "arguments": {}}, "type": "function"}
    chosen = [{"role": "assistant", "content": "", "tool_calls": [call]}]
    pair = replace(pair_of(CHAT), chosen=chosen, chosen_finished=False, may_lose_text=True)
    report = DataReport("test", num_rows=1)
    assert tokenize_pairs([pair], chat_tokenizer, LengthLimits(), report) == []
    assert "only text can be left open" in report.problems[0]


def test_exchanged_responses_keep_their_ends() -> None:
    assert swapped(pair_of(TEXT, chosen_finished=False)).unfinished == ("rejected",)


def test_tables_of_ids_are_made_anew_for_other_ends(tmp_path: Path) -> None:
    def content(add_eos: Any = "auto", **said: Any) -> str:
        rows = ListedRows("rows", [("row 1", {**TEXT, **said})])
        return read_pairs(rows, PairRules(text=TextRules(add_eos=add_eos)), tmp_path).content

    names = [
        content(),
        content(chosen_finished=False),
        content(rejected_finished=False),
        content("never"),
    ]
    assert len(set(names)) == 4
    assert content(chosen_finished=True) == names[0]


def test_a_plugin_sees_the_end_and_stored_values_know_it(small_tokenizer: Any) -> None:
    pairs = [pair_of(TEXT), pair_of(TEXT, chosen_finished=False)]
    (ended, open_end), _ = tokenized(pairs, small_tokenizer)
    assert [each.example("chosen").finished for each in (ended, open_end)] == [True, False]
    assert text_hash(ended) != text_hash(open_end)


@pytest.mark.parametrize("row", [TEXT, CHAT], ids=["text", "chat"])
def test_another_tokenizer_adds_no_end_either(
    row: dict[str, Any], small_tokenizer: Any, chat_tokenizer: Any
) -> None:
    (open_end,), _ = tokenized([pair_of(row, chosen_finished=False)], small_tokenizer)
    (again,) = retokenize([open_end.example("chosen")], chat_tokenizer)
    assert chat_tokenizer.eos_token_id not in again.response_ids
    assert again.response == open_end.chosen.text
