"""The same response in another tokenizer's tokens, offsets in the policy's text."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tgdpo_core.data.alignment import project
from tgdpo_core.data.formats import parse_row
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.retokenization import retokenize
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.errors import DataError
from tgdpo_core.plugin_api.rewards import Example, Spans

CHATML = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
BRACKETS = (
    "{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] | trim }} [/INST]"
    "{% else %} {{ m['content'] | trim }}</s>{% endif %}{% endfor %}"
)
TEXT = {
    "prompt": "The cat sat.\nQ: ",
    "chosen": "naïve 🎉 café, 中文 works.\n\nSo 42.",
    "rejected": "No.",
}
CHAT = {
    "prompt": [{"role": "user", "content": "Two plus two?"}],
    "chosen": [{"role": "assistant", "content": "It is four. 🎉 "}],
    "rejected": [{"role": "assistant", "content": "No."}],
}
DIALOGUE = {
    **CHAT,
    "chosen": [
        {"role": "assistant", "content": "It is four."},
        {"role": "user", "content": "Is it?"},
        {"role": "assistant", "content": "Yes, 2 plus 2 is four."},
    ],
}

Chosen = Callable[..., Example]


@pytest.fixture
def policy(tokenizers_by_kind: dict[str, Any]) -> Any:
    """The policy's tokenizer, with a chat template."""
    tokenizer = copy.deepcopy(tokenizers_by_kind["gpt2"])
    tokenizer.chat_template = CHATML
    return tokenizer


@pytest.fixture
def other(tokenizers_by_kind: dict[str, Any]) -> Any:
    """Another model's tokenizer, with another chat template and BOS in front of texts."""
    from tokenizers import processors

    tokenizer = copy.deepcopy(tokenizers_by_kind["llama2"])
    tokenizer.chat_template = BRACKETS
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    return tokenizer


@pytest.fixture
def chosen(policy: Any) -> Chosen:
    """The chosen response of a row as the policy trains it."""

    def make(row: dict[str, Any], **limits: Any) -> Example:
        pair = parse_row(row, where="rows:1")
        report = DataReport("rows")
        (tokenized,) = tokenize_pairs([pair], policy, LengthLimits(**limits), report)
        return tokenized.example("chosen")

    return make


def pieces(example: Example) -> list[str]:
    return [example.response[a:b] for a, b in example.offsets]


def test_text_is_tokenized_as_that_model_would_train_it(chosen: Chosen, other: Any) -> None:
    (read,) = retokenize([chosen(TEXT)], other)
    whole = other(TEXT["prompt"] + TEXT["chosen"])["input_ids"]
    assert [*read.prompt_ids, *read.response_ids] == [*whole, other.eos_token_id]
    assert read.prompt_ids == other(TEXT["prompt"])["input_ids"][: len(read.prompt_ids)]


def test_tokens_lie_on_their_characters_of_the_policys_text(chosen: Chosen, other: Any) -> None:
    example = chosen(TEXT)
    (read,) = retokenize([example], other)
    tokens = other.convert_ids_to_tokens(read.response_ids)
    for token, piece in zip(tokens[:-1], pieces(read)[:-1], strict=True):
        if not token.startswith("<0x"):
            assert piece == token.replace("▁", " ")
    assert read.offsets[-1] == (len(example.response),) * 2


def test_a_chat_goes_through_that_models_template(chosen: Chosen, other: Any) -> None:
    (read,) = retokenize([chosen(CHAT)], other)
    text = "[INST] Two plus two? [/INST] It is four. 🎉</s>"
    assert [*read.prompt_ids, *read.response_ids] == other(text, add_special_tokens=False)[
        "input_ids"
    ]


def test_closing_marks_lie_on_closing_marks(chosen: Chosen, other: Any) -> None:
    example = chosen(CHAT)
    assert example.response == "It is four. 🎉 </s>\n"
    (read,) = retokenize([example], other)
    tokens = other.convert_ids_to_tokens(read.response_ids)
    assert tokens[-1] == "</s>"
    assert pieces(read)[-1] == " </s>\n"
    assert "".join(dict(zip(read.offsets, pieces(read), strict=True)).values()) == example.response


def test_every_message_of_a_dialogue_keeps_its_place(chosen: Chosen, other: Any) -> None:
    example = chosen(DIALOGUE)
    (read,) = retokenize([example], other)
    for content in ("It is four.", "Is it?", "Yes, 2 plus 2 is four."):
        start = example.response.index(content)
        last = [b for _, b in read.offsets if b <= start + len(content)][-1]
        assert last == start + len(content)


def test_a_tokenizer_without_marks_gets_them_on_the_end(
    chosen: Chosen, tokenizers_by_kind: dict[str, Any]
) -> None:
    example = chosen(CHAT)
    (read,) = retokenize([example], tokenizers_by_kind["unigram"])
    end = example.response.index("🎉") + 1
    assert all(b <= end or a >= end for a, b in read.offsets)


@pytest.mark.parametrize(
    ("row", "num_tokens"),
    [
        (TEXT, 1),
        (TEXT, 4),
        (TEXT, 9),
        (CHAT, 4),
        (CHAT, 7),
        (DIALOGUE, 4),
        (DIALOGUE, 9),
        (DIALOGUE, 26),
    ],
    ids=lambda value: value if isinstance(value, int) else "",
)
def test_tokens_behind_the_policys_cut_are_left_out(
    row: dict[str, Any], num_tokens: int, chosen: Chosen, other: Any
) -> None:
    whole = chosen(row)
    example = chosen(row, max_length=len(whole.prompt_ids) + num_tokens)
    assert len(example.response_ids) == num_tokens < whole.num_untruncated
    (read,) = retokenize([example], other)
    (all_read,) = retokenize([whole], other)
    assert read.response_ids == all_read.response_ids[: len(read.response_ids)]
    end = len(example.response)
    assert all(b <= end for _, b in read.offsets)
    inside = [i for i, (_, b) in enumerate(all_read.offsets) if b <= end]
    # A token on the cut, or on template marks that were cut, is left out.
    assert 0 <= len(inside) - len(read.response_ids) <= (1 if row is TEXT else 5)


def test_a_response_cut_before_eos_has_no_eos(chosen: Chosen, other: Any) -> None:
    whole = chosen(TEXT)
    example = chosen(TEXT, max_length=len(whole.prompt_ids) + len(whole.response_ids) - 1)
    (read,) = retokenize([example], other)
    (all_read,) = retokenize([whole], other)
    assert read.response_ids == all_read.response_ids[:-1]


def test_a_merge_across_the_boundary_stays_inside_the_response(chosen: Chosen, other: Any) -> None:
    row = {"prompt": "The ca", "chosen": "t sat on the mat", "rejected": "p"}
    example = chosen(row)
    (read,) = retokenize([example], other)
    values = Spans([(a, b, 1.0) for a, b in read.offsets], how="sum")
    projected = project(values, example.offsets, len(example.response))
    assert projected.sum() == pytest.approx(len(read.response_ids))


def test_sums_are_conserved_between_all_kinds(
    tokenizers_by_kind: dict[str, Any], random_texts: list[str]
) -> None:
    generator = np.random.default_rng(0)
    examples = {}
    for kind, tokenizer in tokenizers_by_kind.items():
        rows = [
            {"prompt": "Question: ", "chosen": f"a{text}", "rejected": "b"}
            for text in random_texts[:60]
        ]
        pairs = [parse_row(row, where="rows:1") for row in rows]
        tokenized = tokenize_pairs(pairs, tokenizer, LengthLimits(), DataReport("rows"))
        examples[kind] = [pair.example("chosen") for pair in tokenized]
    for batch in examples.values():
        for tokenizer in tokenizers_by_kind.values():
            for example, read in zip(batch, retokenize(batch, tokenizer), strict=True):
                values = generator.normal(size=len(read.response_ids))
                items = [(a, b, v) for (a, b), v in zip(read.offsets, values, strict=True)]
                found = project(Spans(items, how="sum"), example.offsets, len(example.response))
                assert abs(found.sum() - values.sum()) < 1e-9


def test_a_template_that_rewrites_the_response_is_a_data_error(chosen: Chosen, other: Any) -> None:
    other.chat_template = BRACKETS.replace("m['content'] | trim }}</s>", "m['content'] | upper }}")
    with pytest.raises(
        DataError,
        match=r"the chosen response .It is four.*does not write its messages as they are",
    ):
        retokenize([chosen(CHAT)], other)


def test_a_prompt_of_which_no_token_stays_is_a_data_error(
    chosen: Chosen, tokenizers_by_kind: dict[str, Any]
) -> None:
    example = chosen({"prompt": "the S", "chosen": "tep 1", "rejected": "o"})
    with pytest.raises(DataError, match="no token of the prompt stays"):
        retokenize([replace(example, prompt="S")], tokenizers_by_kind["gpt2"])
