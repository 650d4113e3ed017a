"""Special tokens in the text of rows: one BOS, one EOS, and what a user wrote stays text."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tokenizers import processors

from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.pairs import SIDES, TokenizedPair
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs

LLAMA3 = (
    "{% for m in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ '<|head|>' + m.role + '<|/head|>\n\n' + m.content | trim + '<|eot|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|head|>assistant<|/head|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{{ '<turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' "
    "+ m.content | trim + '</turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<turn>model\n' }}{% endif %}"
)
QWEN = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '[INST] ' + m.content + ' [/INST]' }}{% elif m.role == 'assistant' %}"
    "{{ ' ' + m.content + eos_token }}{% else %}{{ m.content }}{% endif %}{% endfor %}"
)
KINDS = {
    "llama3": (LLAMA3, ["<|head|>", "<|/head|>", "<|eot|>"], "<|eot|>"),
    "gemma": (GEMMA, ["<turn>", "</turn>"], "</turn>"),
    "qwen": (QWEN, ["<|im_start|>", "<|im_end|>"], "<|im_end|>"),
    "mistral": (MISTRAL, ["[INST]", "[/INST]"], "</s>"),
}


@pytest.fixture(scope="module")
def templated(small_tokenizer: Any) -> Callable[[str], Any]:
    """A tokenizer with the chat template and the marks of a kind."""

    def make(kind: str) -> Any:
        template, marks, eos = KINDS[kind]
        tokenizer = copy.deepcopy(small_tokenizer)
        tokenizer.add_special_tokens({"additional_special_tokens": marks})
        tokenizer.eos_token = eos
        tokenizer.chat_template = template
        return tokenizer

    return make


def read(
    row: dict[str, Any], tokenizer: Any, rule: str = "auto", **limits: Any
) -> tuple[list[TokenizedPair], DataReport]:
    report = DataReport("rows")
    pairs = [replace(p, special_tokens=rule) for p in parse_rows([("rows:1", row)], report)]
    return tokenize_pairs(pairs, tokenizer, LengthLimits(**limits), report), report


def whole(pair: TokenizedPair, side: Any) -> list[int]:
    return [*pair.prompt_ids.tolist(), *pair.response(side).ids.tolist()]


def chat(question: str, good: str, bad: str) -> dict[str, Any]:
    return {
        "prompt": [{"role": "user", "content": question}],
        "chosen": [{"role": "assistant", "content": good}],
        "rejected": [{"role": "assistant", "content": bad}],
    }


def special_ids(ids: list[int], tokenizer: Any) -> list[str]:
    names = set(tokenizer.all_special_tokens)
    return [t for t in tokenizer.convert_ids_to_tokens(ids) if t in names]


# -- chats ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", SIDES)
def test_marks_that_a_user_wrote_into_messages_are_text(
    kind: str, side: Any, templated: Callable[[str], Any]
) -> None:
    tokenizer = templated(kind)
    marks = "".join(["</s><s>user", *KINDS[kind][1]])
    row = chat(f"What is {marks} for?", f"It is {marks} the end.", "No.")
    (pair,), report = read(row, tokenizer)
    (clean,), _ = read(chat("What is it?", "It is it.", "No."), tokenizer)
    ids = whole(pair, side)
    assert special_ids(ids, tokenizer) == special_ids(whole(clean, side), tokenizer)
    rendered = tokenizer.apply_chat_template([*row["prompt"], *row[side]], tokenize=False)
    assert tokenizer.decode(ids) == rendered
    assert report.counts["special_tokens_in_text"] == 1
    assert report.places["special_tokens_in_text"] == ["rows:1"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", SIDES)
def test_offsets_cover_a_response_with_marks_in_it(
    kind: str, side: Any, templated: Callable[[str], Any]
) -> None:
    marks = "".join(KINDS[kind][1])
    (pair,), _ = read(chat("Hi", f"café {marks} 🎉 end", f"{marks}{marks}."), templated(kind))
    response = pair.response(side)
    assert marks in response.text
    covered = {i for a, b in response.offsets for i in range(a, b)}
    assert covered == set(range(len(response.text)))
    assert (np.diff(response.offsets[:, 0]) >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_chat_without_marks_is_tokenized_as_the_tokenizer_does(
    kind: str, templated: Callable[[str], Any]
) -> None:
    tokenizer = templated(kind)
    row = chat("Two plus two?", "It is four.", "It is eight.")
    (pair,), report = read(row, tokenizer)
    text = tokenizer.apply_chat_template([*row["prompt"], *row["chosen"]], tokenize=False)
    assert whole(pair, "chosen") == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert not report.counts - report.counts.__class__(tokens_after_eos=1)


@pytest.mark.parametrize("kind", KINDS)
def test_kept_marks_are_the_tokens(kind: str, templated: Callable[[str], Any]) -> None:
    tokenizer = templated(kind)
    mark = KINDS[kind][1][0]
    row = chat("Hi", f"Yes {mark} so", "No")
    (pair,), report = read(row, tokenizer, "keep")
    text = tokenizer.apply_chat_template([*row["prompt"], *row["chosen"]], tokenize=False)
    assert whole(pair, "chosen") == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert report.counts["special_tokens_kept"] == 1


@pytest.mark.parametrize("row", [chat("a <s> b", "c", "d"), chat("a", "c </s> d", "e")])
def test_marks_can_be_an_error(row: Any, templated: Callable[[str], Any]) -> None:
    pairs, report = read(row, templated("qwen"), "error")
    assert not pairs
    assert report.counts == {"special_token_in_text": 1}
    assert "rows:1: the text holds the special token" in report.problems[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["", "\n", " \n\n"])
def test_a_message_that_ends_with_eos_gets_no_other(
    kind: str, end: str, templated: Callable[[str], Any]
) -> None:
    tokenizer = templated(kind)
    eos = KINDS[kind][2]
    (pair,), report = read(chat("Hi", f"Yes{eos}{end}", "No"), tokenizer)
    (clean,), _ = read(chat("Hi", "Yes", "No"), tokenizer)
    assert pair.ids_hash() == clean.ids_hash()
    assert report.counts["eos_not_doubled"] == 1


@pytest.mark.parametrize("kind", ["llama3", "gemma", "mistral"])
def test_a_message_that_begins_with_bos_gets_no_other(
    kind: str, templated: Callable[[str], Any]
) -> None:
    tokenizer = templated(kind)
    (pair,), report = read(chat("<s>Hi", "Yes", "No"), tokenizer)
    (clean,), _ = read(chat("Hi", "Yes", "No"), tokenizer)
    assert pair.ids_hash() == clean.ids_hash()
    assert report.counts["bos_not_doubled"] == 1


# -- text -----------------------------------------------------------------------------------------

ADDING = {"nothing": "$A", "BOS": "<s> $A", "EOS": "$A </s>", "both": "<s> $A </s>"}


@pytest.fixture(scope="module", params=ADDING)
def adding(request: pytest.FixtureRequest, small_tokenizer: Any) -> Any:
    """The small tokenizer, adding BOS, EOS, both or nothing."""
    tokenizer = copy.deepcopy(small_tokenizer)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=ADDING[request.param], special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return tokenizer


@pytest.mark.parametrize("rule", ["auto", "keep"])
@pytest.mark.parametrize("end", ["</s>", "</s>\n", "</s> \n"])
def test_text_with_its_own_bos_and_eos_gets_no_other(adding: Any, rule: str, end: str) -> None:
    row = {"prompt": "<s>Two plus", "chosen": f" four{end}", "rejected": f" eight{end}"}
    (pair,), report = read(row, adding, rule)
    for side in SIDES:
        ids = whole(pair, side)
        assert (ids.count(0), ids.count(1)) == (1, 1)
        text = row["prompt"] + row[side]
        assert ids == adding(text, add_special_tokens=False)["input_ids"]
    counts = {name: report.counts[name] for name in ("bos_not_doubled", "eos_not_doubled")}
    assert counts == {"bos_not_doubled": 1, "eos_not_doubled": 1}
    assert report.counts["tokens_after_eos"] == (end != "</s>")
    assert not report.counts["boundary_inside_prompt"]


@pytest.mark.parametrize("side", SIDES)
def test_marks_inside_a_text_are_text(adding: Any, side: Any) -> None:
    row = {
        "prompt": "What is </s><s>user for?\n",
        "chosen": "A </s><s>user mark.",
        "rejected": "No <pad>.",
    }
    (pair,), report = read(row, adding)
    ids = whole(pair, side)
    assert set(special_ids(ids, adding)) <= {"<s>", "</s>"}
    assert ids.count(1) == 1
    assert ids[-1] == 1
    body = [i for i in ids if i > 1]
    assert adding.decode(body) == row["prompt"] + row[side]
    assert report.counts == {"special_tokens_in_text": 1}
    response = pair.response(side)
    assert (row["prompt"] + row[side]).endswith(response.text)
    assert tuple(response.offsets[-1]) == (len(response.text),) * 2


def test_under_text_even_the_ends_are_text(small_tokenizer: Any) -> None:
    row = {"prompt": "<s>Two plus", "chosen": " four</s>", "rejected": " eight"}
    (pair,), report = read(row, small_tokenizer, "text")
    ids = whole(pair, "chosen")
    assert (ids.count(0), ids.count(1), ids[0], ids[-1]) == (1, 1, 0, 1)
    assert small_tokenizer.decode(ids[1:-1]) == "<s>Two plus four</s>"
    assert report.counts == {"special_tokens_in_text": 1}


RENDERED = {
    "begins with BOS and has marks": ("<s><|im_start|>user\nHi", "Yes"),
    "begins with a mark": ("<|im_start|>user\nHi\n", "Yes"),
    "ends with a mark": ("user Hi<|im_start|>", "Yes"),
    "holds the template's turn": ("Hi<|im_end|>\n<|im_start|>assistant\n", "Yes"),
    "a response that ends with a mark": ("Hi", "Yes<|im_start|>"),
}


@pytest.mark.parametrize(("prompt", "chosen"), RENDERED.values(), ids=RENDERED.keys())
def test_a_row_that_was_rendered_already_is_a_bad_row_that_names_the_setting(
    prompt: str, chosen: str, templated: Callable[[str], Any]
) -> None:
    row = {"prompt": prompt, "chosen": chosen, "rejected": "No"}
    pairs, report = read(row, templated("qwen"))
    assert not pairs
    assert report.counts == {"rendered_already": 1}
    assert "data.special_tokens=keep" in report.problems[0]
    for rule in ("keep", "text"):
        assert len(read(row, templated("qwen"), rule)[0]) == 1


def test_a_rendered_row_is_the_chat_it_was_rendered_from(templated: Callable[[str], Any]) -> None:
    tokenizer = templated("llama3")
    messages = chat("Two plus two?", "Four", "Eight")
    prompt = tokenizer.apply_chat_template(
        messages["prompt"], tokenize=False, add_generation_prompt=True
    )
    row = {"prompt": prompt, "chosen": "Four<|eot|>", "rejected": "Eight<|eot|>"}
    (pair,), _ = read(row, tokenizer, "keep")
    (expected,), _ = read(messages, tokenizer)
    assert pair.ids_hash() == expected.ids_hash()


def test_a_tokenizer_that_cannot_write_a_mark_as_text_makes_a_bad_row() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<s>": 0, "</s>": 1, "yes": 2, "no": 3, "what": 4}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="no"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>")
    pairs, report = read({"prompt": "what", "chosen": "yes </s> yes", "rejected": "no"}, tokenizer)
    assert not pairs
    assert report.counts == {"special_token_in_text": 1}
