"""A tokenizer that fails on a text: the row is named, the others are kept."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="module")
def without_unknown() -> Any:
    """A tokenizer of words that has no token for the words that it does not know."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(
        models.WordPiece({"</s>": 0, "yes": 1, "no": 2, "what": 3}, unk_token="[UNK]")
    )
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>")


def test_the_row_that_a_tokenizer_fails_on_is_a_bad_row(
    without_unknown: Any, tokenize: Callable[..., Any]
) -> None:
    good = {"prompt": "what ", "chosen": "yes", "rejected": "no"}
    pairs, report = tokenize([good, {**good, "chosen": "perhaps"}, good], without_unknown)
    assert [pair.pair.where for pair in pairs] == ["rows:1", "rows:3"]
    assert report.counts == {"tokenizer_fails": 1}
    assert report.problems[0].startswith("rows:2: the tokenizer fails on the text")


def test_a_mark_that_a_tokenizer_has_no_characters_for_makes_a_bad_row(
    tokenize: Callable[..., Any],
) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    digits = Tokenizer(models.WordLevel({"</s>": 0, "1": 1, "2": 2}, unk_token="[UNK]"))
    digits.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=digits, eos_token="</s>")
    row = {"prompt": "12", "chosen": "1</s>2", "rejected": "2"}
    pairs, report = tokenize([row, {**row, "chosen": "11"}], tokenizer)
    assert len(pairs) == 1
    assert report.counts == {"tokenizer_fails": 1}
    assert "data.special_tokens=keep" in report.problems[0]
