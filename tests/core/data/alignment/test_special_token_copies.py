"""A text tokenized with a user's marks as text, in tokenizers of each kind."""

from typing import Any

import pytest

from tgdpo_core.data.special_tokens import ModelText, Span, SpecialTokens

TEXTS = ["<s>The cat</s>", "a <s> b  </s>\n\n<s>c", "no mark", "</s></s>", "é🎉</s>🎉 中<s>文"]


@pytest.mark.parametrize("kind", ["gpt2", "roberta", "llama3", "llama2", "unigram"])
@pytest.mark.parametrize("text", TEXTS)
def test_marks_of_the_layout_give_the_ids_and_offsets_of_the_tokenizer(
    kind: str, text: str, tokenizers_by_kind: dict[str, Any]
) -> None:
    tokenizer = tokenizers_by_kind[kind]
    ids, offsets = SpecialTokens(tokenizer).encode(ModelText(text), add_special_tokens=True)
    expected = tokenizer(text, return_offsets_mapping=True)
    assert ids.tolist() == expected["input_ids"]
    assert [tuple(pair) for pair in offsets.tolist()] == expected["offset_mapping"]


@pytest.mark.parametrize("kind", ["gpt2", "roberta", "llama3", "llama2", "unigram"])
def test_a_users_mark_is_what_its_characters_are_without_it(
    kind: str, tokenizers_by_kind: dict[str, Any]
) -> None:
    tokenizer = tokenizers_by_kind[kind]
    text = "<s>say </s> now</s>"
    source = ModelText(text, [Span(3, 15)])
    ids, _ = SpecialTokens(tokenizer).encode(source, add_special_tokens=False)
    assert [tokenizer.decode(i) for i in ids if i in tokenizer.all_special_ids] == ["<s>", "</s>"]
    assert "</s>" in tokenizer.decode(ids[1:-1])
