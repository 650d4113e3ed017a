"""Whether offsets can be trusted, and what is made of those that cannot."""

from typing import Any

import numpy as np
import pytest

from tgdpo_core.data.alignment import owned_ranges
from tgdpo_core.data.offsets import offsets_cover, offsets_from_bytes
from tgdpo_core.data.token_bytes import byte_table
from tgdpo_core.data.tokenization import encode_texts
from tgdpo_core.errors import DataError

TEXT = "Step 1: the 🎉 costs 3€.\n\nStep 2: 中文  works. "


def offsets_of(tokenizer: Any, text: str) -> np.ndarray[Any, Any]:
    found = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    return np.asarray(found, np.int64).reshape(-1, 2)


class WrongOffsets:
    """A tokenizer whose offsets are changed, as those of some releases were wrong."""

    def __init__(self, tokenizer: Any, change: Any) -> None:
        self._tokenizer, self._change = tokenizer, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, texts: Any, **kwargs: Any) -> Any:
        output = self._tokenizer(texts, **kwargs)
        if "offset_mapping" in output:
            output["offset_mapping"] = [self._change(o) for o in output["offset_mapping"]]
        return output


def empty(offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the ranges as Llama 3's were: empty, at the beginning of each token."""
    return [(start, start) for start, _ in offsets]


def test_offsets_of_every_kind_are_trusted(any_tokenizer: Any, random_texts: list[str]) -> None:
    wrong = [
        text
        for text in random_texts
        if not offsets_cover(offsets_of(any_tokenizer, text), text, any_tokenizer)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "change",
    [
        empty,
        lambda offsets: offsets[:-3],
        lambda offsets: [*offsets[:4], (0, 1), *offsets[5:]],
        lambda offsets: [(a + 3, b + 3) for a, b in offsets],
        lambda offsets: [*offsets[:2], (offsets[2][1], offsets[2][0]), *offsets[3:]],
    ],
    ids=["empty ranges", "end left out", "not monotone", "outside the text", "start behind end"],
)
def test_wrong_offsets_are_noticed(tokenizers_by_kind: dict[str, Any], change: Any) -> None:
    tokenizer = tokenizers_by_kind["llama3"]
    right = tokenizer(TEXT, return_offsets_mapping=True, add_special_tokens=False)
    wrong = np.asarray(change(right["offset_mapping"]), np.int64)
    assert not offsets_cover(wrong, TEXT, tokenizer)


def test_characters_that_the_tokenizer_drops_may_be_left_out(
    tokenizers_by_kind: dict[str, Any],
) -> None:
    tokenizer = tokenizers_by_kind["wordpiece"]
    text = "a\u200d b\u0301"
    assert offsets_of(tokenizer, text)[-1, 1] < len(text)
    assert offsets_cover(offsets_of(tokenizer, text), text, tokenizer)


@pytest.mark.parametrize("kind", ["gpt2", "gpt2, prefix space", "llama3", "llama2"])
def test_offsets_made_from_bytes_own_what_the_tokenizers_own(
    kind: str, tokenizers_by_kind: dict[str, Any], random_texts: list[str]
) -> None:
    tokenizer = tokenizers_by_kind[kind]
    # In front of a space, which of two spaces is the prepended one cannot be known.
    for text in [TEXT, *(text for text in random_texts[:500] if not text.startswith(" "))]:
        made = offsets_from_bytes(text, tokenizer, add_special_tokens=True)
        ranges = np.stack(owned_ranges(made, len(text)))
        expected = np.stack(owned_ranges(offsets_of(tokenizer, text), len(text)))
        # A first token of the prepended space alone owns nothing here, the first character there.
        np.testing.assert_array_equal(ranges[:, 1:], expected[:, 1:], err_msg=repr(text))


@pytest.mark.parametrize("kind", ["roberta", "roberta, prefix space", "unigram"])
def test_offsets_made_from_bytes_lie_in_those_of_coarser_tokenizers(
    kind: str, tokenizers_by_kind: dict[str, Any], random_texts: list[str]
) -> None:
    # RoBERTa's leave out spaces; Unigram's give all bytes of unknown characters one range.
    tokenizer = tokenizers_by_kind[kind]
    for text in [TEXT, *random_texts[:500]]:
        made = offsets_from_bytes(text, tokenizer, add_special_tokens=True)
        found = offsets_of(tokenizer, text)
        seen = found[:, 1] > found[:, 0]
        narrow, wide = (made, found) if kind == "unigram" else (found, made)
        assert (narrow[seen, 0] >= wide[seen, 0]).all(), text
        assert (narrow[seen, 1] <= wide[seen, 1]).all(), text


@pytest.mark.parametrize("kind", ["gpt2, prefix space", "roberta, prefix space", "llama3"])
def test_wrong_offsets_are_made_anew(kind: str, tokenizers_by_kind: dict[str, Any]) -> None:
    tokenizer = tokenizers_by_kind[kind]
    (found,) = encode_texts([TEXT], WrongOffsets(tokenizer, empty), add_special_tokens=True)
    (right,) = encode_texts([TEXT], tokenizer, add_special_tokens=True)
    np.testing.assert_array_equal(found.ids, right.ids)
    ranges = [owned_ranges(e.offsets, len(TEXT)) for e in (found, right)]
    np.testing.assert_array_equal(*ranges)


def test_special_tokens_in_the_text_are_their_own_bytes(
    tokenizers_by_kind: dict[str, Any],
) -> None:
    tokenizer = tokenizers_by_kind["llama3"]
    text = "the cat</s>\nthe"
    made = offsets_from_bytes(text, tokenizer, add_special_tokens=True)
    written = [text[a:b] for a, b in made.tolist()]
    assert (written[0], written[-1]) == ("", "")
    assert "</s>" in written
    assert "".join(written) == text


def test_offsets_that_nothing_can_mend_are_a_data_error(
    tokenizers_by_kind: dict[str, Any],
) -> None:
    tokenizer = WrongOffsets(tokenizers_by_kind["wordpiece"], empty)
    with pytest.raises(DataError, match=r"leave out text.*Step 1.*Update the tokenizers package"):
        encode_texts([TEXT], tokenizer, add_special_tokens=True)


def test_the_byte_table_is_the_one_of_byte_level_bpe() -> None:
    from tokenizers import pre_tokenizers

    assert set(byte_table()) == set(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(byte_table().values()) == list(range(256))
    text = bytes(range(128)).decode()
    ((token, _),) = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
    ).pre_tokenize_str(text)
    assert bytes(byte_table()[char] for char in token) == text.encode()
