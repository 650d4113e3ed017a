"""Where a response begins, in token space; what its offsets are; what is cut off."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tgdpo_core.data.alignment import owned_ranges
from tgdpo_core.data.pairs import SIDES, data_fingerprint
from tgdpo_core.data.token_table import ListedTokens
from tgdpo_core.data.tokenization import layout
from tgdpo_core.errors import DataError

Tokenize = Callable[..., Any]

TEXTS = {
    "plain": {"prompt": "Two plus two is ", "chosen": "four.", "rejected": "eight, I think."},
    "a merge across the boundary": {"prompt": "The c", "chosen": "at sat", "rejected": "at on"},
    "a merge across the boundary on one side": {
        "prompt": "The c",
        "chosen": "at sat",
        "rejected": "ow",
    },
    "emoji": {"prompt": "caf", "chosen": "é 🎉 naïve", "rejected": "é 🎊"},
    "one answer a prefix of the other": {
        "prompt": "What? ",
        "chosen": "The sky",
        "rejected": "The sky is blue",
    },
    "CJK": {"prompt": "你", "chosen": "好吗", "rejected": "是谁"},
}


@pytest.mark.parametrize("row", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("side", SIDES)
def test_the_ids_are_those_of_the_whole_text_and_one_eos(
    row: dict[str, str], side: Any, small_tokenizer: Any, tokenize: Tokenize
) -> None:
    (pair,), _ = tokenize([row], small_tokenizer)
    whole = small_tokenizer(row["prompt"] + row[side])["input_ids"]
    ids = [*pair.prompt_ids, *pair.response(side).ids]
    assert ids == [*whole, small_tokenizer.eos_token_id]


@pytest.mark.parametrize("row", TEXTS.values(), ids=TEXTS.keys())
def test_the_prompt_is_the_longest_common_prefix(
    row: dict[str, str], small_tokenizer: Any, tokenize: Tokenize
) -> None:
    (pair,), _ = tokenize([row], small_tokenizer)
    alone, *full = (
        small_tokenizer(text)["input_ids"]
        for text in (row["prompt"], row["prompt"] + row["chosen"], row["prompt"] + row["rejected"])
    )
    n = len(pair.prompt_ids)
    assert list(pair.prompt_ids) == alone[:n] == full[0][:n] == full[1][:n]
    one_more = [ids[: n + 1] for ids in (alone, *full)]
    assert n == len(alone) or not one_more[0] == one_more[1] == one_more[2]


def test_a_merge_across_the_boundary_moves_it_back_and_is_counted(
    small_tokenizer: Any, tokenize: Tokenize
) -> None:
    # " the" is one token of the whole text; the prompt alone ends in another one, " t".
    row = {"prompt": "Look at t", "chosen": "he dog.", "rejected": "wo."}
    (pair,), report = tokenize([row], small_tokenizer)
    alone = small_tokenizer(row["prompt"])["input_ids"]
    whole = small_tokenizer(row["prompt"] + row["chosen"])["input_ids"]
    assert whole[: len(alone)] != alone, "the fixture's tokenizer must merge here"
    assert len(pair.prompt_ids) < len(alone)
    assert row["prompt"].startswith(small_tokenizer.decode(pair.prompt_ids)[len("<s>") :])
    assert report.counts == {"boundary_inside_prompt": 1}


def test_a_clean_boundary_is_not_counted(small_tokenizer: Any, tokenize: Tokenize) -> None:
    (pair,), report = tokenize(
        [{"prompt": "A?\n", "chosen": "B", "rejected": "C"}], small_tokenizer
    )
    assert (pair.chosen.text, pair.rejected.text) == ("B", "C")
    assert not report.counts


@pytest.mark.parametrize("row", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("side", SIDES)
def test_the_offsets_cover_the_response_and_eos_stands_at_its_end(
    row: dict[str, str], side: Any, small_tokenizer: Any, tokenize: Tokenize
) -> None:
    (pair,), _ = tokenize([row], small_tokenizer)
    response = pair.response(side)
    assert (row["prompt"] + row[side]).endswith(response.text)
    covered = {i for a, b in response.offsets for i in range(a, b)}
    assert covered == set(range(len(response.text)))
    assert (response.offsets[1:, 0] >= response.offsets[:-1, 0]).all()
    assert tuple(response.offsets[-1]) == (len(response.text), len(response.text))


@pytest.mark.parametrize("side", SIDES)
def test_tokens_own_the_whole_text_where_offsets_leave_out_spaces(
    side: Any, trimming_tokenizer: Any, tokenize: Tokenize
) -> None:
    (pair,), _ = tokenize([TEXTS["plain"]], trimming_tokenizer)
    response = pair.response(side)
    starts, ends = owned_ranges(response.offsets, len(response.text))
    pieces = [response.text[a:b] for a, b in zip(starts, ends, strict=True)]
    assert "".join(pieces) == response.text


def test_eos_written_in_the_text_is_not_added_again(
    small_tokenizer: Any, tokenize: Tokenize
) -> None:
    row = {"prompt": "Two", "chosen": " plus</s>", "rejected": " is"}
    (pair,), _ = tokenize([row], small_tokenizer)
    eos = small_tokenizer.eos_token_id
    assert list(pair.chosen.ids).count(eos) == list(pair.rejected.ids).count(eos) == 1


def test_a_tokenizer_that_ends_every_text_by_eos_gives_one_eos(
    small_tokenizer: Any, tokenize: Tokenize
) -> None:
    from tokenizers import processors

    tokenizer = copy.deepcopy(small_tokenizer)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    (pair,), _ = tokenize([TEXTS["plain"]], tokenizer)
    (expected,), _ = tokenize([TEXTS["plain"]], small_tokenizer)
    assert pair.ids_hash() == expected.ids_hash()
    assert tuple(pair.chosen.offsets[-1]) == (len(pair.chosen.text),) * 2


# -- chats ----------------------------------------------------------------------------------------

CHAT = {
    "prompt": [{"role": "user", "content": "Two plus two?"}],
    "chosen": [{"role": "assistant", "content": "It is four."}],
    "rejected": [{"role": "assistant", "content": "No."}],
}


@pytest.mark.parametrize("side", SIDES)
def test_a_chat_goes_through_the_template_without_added_special_tokens(
    side: Any, chat_tokenizer: Any, tokenize: Tokenize
) -> None:
    (pair,), _ = tokenize([CHAT], chat_tokenizer)
    text = chat_tokenizer.apply_chat_template([*CHAT["prompt"], *CHAT[side]], tokenize=False)
    whole = chat_tokenizer(text, add_special_tokens=False)["input_ids"]
    assert [*pair.prompt_ids, *pair.response(side).ids] == whole
    assert pair.response(side).text == f"{CHAT[side][0]['content']}</s>\n"


@pytest.mark.parametrize("side", SIDES)
def test_a_chat_without_template_is_the_same_as_its_plain_text(
    side: Any, small_tokenizer: Any, tokenize: Tokenize
) -> None:
    (pair,), _ = tokenize([CHAT], small_tokenizer)
    prompt = "\n\nHuman: Two plus two?\n\nAssistant:"
    text = {"prompt": prompt, "chosen": " It is four.", "rejected": " No."}
    (plain,), _ = tokenize([text], small_tokenizer)
    assert pair.ids_hash() == plain.ids_hash()
    assert pair.response(side).text == plain.response(side).text
    assert pair.response(side).ids[-1] == small_tokenizer.eos_token_id


def test_the_layout_is_named(small_tokenizer: Any, chat_tokenizer: Any, tokenize: Tokenize) -> None:
    (chat,), _ = tokenize([CHAT], small_tokenizer)
    (text,), _ = tokenize([TEXTS["plain"]], small_tokenizer)
    assert layout(small_tokenizer, [text.pair]) == "text"
    assert layout(small_tokenizer, [chat.pair]) == "plain"
    assert layout(chat_tokenizer, [chat.pair]) == "chat_template"


def test_a_template_that_rewrites_the_prompt_moves_the_boundary(
    small_tokenizer: Any, tokenize: Tokenize
) -> None:
    tokenizer = copy.deepcopy(small_tokenizer)
    # The generation prompt has a thinking mark that the finished dialogue does not have.
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"
        "{% if add_generation_prompt %}<assistant><think>{% endif %}"
    )
    (pair,), report = tokenize([CHAT], tokenizer)
    assert report.counts == {"boundary_inside_prompt": 1}
    assert tokenizer.decode(pair.prompt_ids) == "<user>Two plus two?</s><assistant>"
    assert pair.chosen.text == "It is four.</s>"


# -- lengths --------------------------------------------------------------------------------------

LONG = {
    "prompt": "One two three four five six seven?\n",
    "chosen": "She sells sea shells by the sea shore.",
    "rejected": "No.",
}


def test_a_long_response_loses_its_end_and_eos(small_tokenizer: Any, tokenize: Tokenize) -> None:
    (whole,), _ = tokenize([LONG], small_tokenizer)
    limit = len(whole.prompt_ids) + 5
    (cut,), report = tokenize([LONG], small_tokenizer, max_length=limit)
    assert list(cut.chosen.ids) == list(whole.chosen.ids[:5])
    assert cut.chosen.num_untruncated == len(whole.chosen.ids)
    assert small_tokenizer.eos_token_id not in cut.chosen.ids
    assert cut.chosen.text == small_tokenizer.decode(cut.chosen.ids)
    assert list(cut.rejected.ids) == list(whole.rejected.ids)
    assert report.counts == {"chosen_truncated": 1}


def test_a_response_that_fits_exactly_is_not_cut(small_tokenizer: Any, tokenize: Tokenize) -> None:
    (whole,), _ = tokenize([LONG], small_tokenizer)
    limit = len(whole.prompt_ids) + len(whole.chosen.ids)
    (fits,), report = tokenize([LONG], small_tokenizer, max_length=limit)
    assert fits.ids_hash() == whole.ids_hash()
    assert not report.counts
    _, report = tokenize([LONG], small_tokenizer, max_length=limit - 1)
    assert report.counts == {"chosen_truncated": 1}


def test_a_long_prompt_loses_its_beginning(small_tokenizer: Any, tokenize: Tokenize) -> None:
    (whole,), _ = tokenize([LONG], small_tokenizer)
    (cut,), report = tokenize([LONG], small_tokenizer, max_prompt_length=4)
    assert list(cut.prompt_ids) == list(whole.prompt_ids[-4:])
    assert list(cut.chosen.ids) == list(whole.chosen.ids)
    assert report.counts == {"prompt_truncated": 1}


def test_a_prompt_that_leaves_no_room_is_a_bad_row(
    small_tokenizer: Any, tokenize: Tokenize
) -> None:
    (whole,), _ = tokenize([LONG], small_tokenizer)
    n = len(whole.prompt_ids)
    pairs, report = tokenize([LONG], small_tokenizer, max_length=n)
    assert pairs == []
    assert report.counts == {"prompt_too_long": 1}
    assert f"rows:1: the prompt has {n} tokens; max_length {n} leaves no room" in report.problems[0]


def test_responses_that_are_equal_after_the_cut_are_a_bad_row(
    small_tokenizer: Any, tokenize: Tokenize
) -> None:
    row = {"prompt": "Q?\n", "chosen": "Yes, I can help.", "rejected": "Yes, I can not."}
    (whole,), _ = tokenize([row], small_tokenizer)
    limit = len(whole.prompt_ids) + 2
    pairs, report = tokenize([row], small_tokenizer, max_length=limit)
    assert pairs == []
    assert report.counts == {"identical_after_truncation": 1}
    assert report.problems[0].startswith("rows:1: the responses are equal within max_length")


def test_the_report_sums_up_tokens(small_tokenizer: Any, tokenize: Tokenize) -> None:
    pairs, report = tokenize([LONG, TEXTS["plain"]], small_tokenizer)
    assert report.num_pairs == 2
    assert report.tokens == {
        "prompt": sum(len(p.prompt_ids) for p in pairs),
        "chosen": sum(len(p.chosen.ids) for p in pairs),
        "rejected": sum(len(p.rejected.ids) for p in pairs),
    }


def test_more_rows_than_one_batch_are_the_rows_one_by_one(
    small_tokenizer: Any, tokenize: Tokenize
) -> None:
    rows = [{**LONG, "rejected": f"No {i}."} for i in range(520)]
    pairs, _ = tokenize(rows, small_tokenizer)
    assert [p.pair.where for p in pairs] == [f"rows:{i}" for i in range(1, 521)]
    (last,), _ = tokenize(rows[-1:], small_tokenizer)
    assert pairs[-1].ids_hash() == last.ids_hash()


# -- tokenizers that do not fit -------------------------------------------------------------------


def test_a_tokenizer_without_eos_is_refused(small_tokenizer: Any, tokenize: Tokenize) -> None:
    tokenizer = copy.deepcopy(small_tokenizer)
    tokenizer.eos_token = None
    with pytest.raises(DataError, match="no EOS token"):
        tokenize([LONG], tokenizer)


def test_a_slow_tokenizer_is_refused(tokenize: Tokenize) -> None:
    class Slow:
        is_fast = False

    with pytest.raises(DataError, match=r"The tokenizer Slow gives no character offsets"):
        tokenize([LONG], Slow())


# -- names of content -----------------------------------------------------------------------------


def test_the_data_fingerprint_moves_with_ids_and_order_only(
    small_tokenizer: Any, tokenize: Tokenize
) -> None:
    (a, b), _ = tokenize([LONG, TEXTS["plain"]], small_tokenizer)
    (with_column, _), _ = tokenize([{**LONG, "extra": 1}, TEXTS["plain"]], small_tokenizer)

    def named(*pairs: Any) -> str:
        return data_fingerprint(ListedTokens(pairs).ids_hashes)

    assert named(a, b) == named(with_column, b)
    assert named(a, b) != named(b, a)


def test_ids_hash_knows_where_the_prompt_ends(small_tokenizer: Any, tokenize: Tokenize) -> None:
    (pair,), _ = tokenize([LONG], small_tokenizer)
    (shifted,), _ = tokenize(
        [{"prompt": "One", **{s: LONG["prompt"][3:] + LONG[s] for s in SIDES}}], small_tokenizer
    )
    joined = [np.concatenate([p.prompt_ids, p.chosen.ids]) for p in (pair, shifted)]
    assert np.array_equal(*joined)
    assert pair.ids_hash() != shifted.ids_hash()
