"""What each preset reads: ids and read positions written out by hand."""

import copy
import dataclasses
from typing import Any

import pytest

from tgdpo_core import Example
from tgdpo_plugins.token_rewards.dense_prm.layouts import Reading, read_steps, token_id
from tgdpo_plugins.token_rewards.dense_prm.presets import PRESETS
from tgdpo_plugins.token_rewards.dense_prm.steps import steps_of

BOS, NL, PLUS, EXTRA, KI, NL5 = 1, 4, 5, 7, 8, 9
SYSTEM, USER, ASSISTANT, Q, A, B, C, D, STEP, FIRST, SECOND = range(10, 21)

GOLDEN = {
    # [BOS] prompt, then step + "\n"; no separator in front of the first step
    "token-classification": ([BOS, Q, A, B, C, NL, D, NL], [5, 7]),
    # the problem ends with a line break, too
    "skywork": ([BOS, Q, A, NL, B, C, NL, D, NL], [6, 8]),
    # steps are numbered; the tag itself is read
    "math-shepherd": ([Q, A, STEP, FIRST, B, C, KI, NL, STEP, SECOND, D, KI], [6, 11]),
    "openr": ([Q, A, B, C, NL5, D, NL5], [4, 6]),
    # user: question and step, assistant: "+"; read one before "+", where it is predicted
    "rlhflow": (
        [USER, Q, A, B, C, ASSISTANT, PLUS, USER, D, ASSISTANT, PLUS],
        [5, 9],
    ),
}


def reading(example: Example, tokenizer: Any, preset: str) -> Reading:
    """Return what a preset reads, steps ending with a line break."""
    steps = steps_of(example, "\n")
    return read_steps(example, steps.texts, tokenizer, PRESETS[preset])


@pytest.mark.parametrize("preset", sorted(GOLDEN))
def test_ids_and_positions_are_those_of_the_format(
    example: Example, words: Any, preset: str
) -> None:
    found = reading(example, words, preset)
    assert (list(found.ids), list(found.positions)) == GOLDEN[preset]


def test_the_chat_of_qwen_has_a_tag_behind_every_step(example: Example, words: Any) -> None:
    prompt = [{"role": "system", "content": "a"}, {"role": "user", "content": "Q"}]
    found = reading(dataclasses.replace(example, prompt=prompt), words, "qwen-prm")
    assert list(found.ids) == [SYSTEM, A, USER, Q, ASSISTANT, B, C, EXTRA, D, EXTRA]
    assert list(found.positions) == [7, 9]


def test_the_system_message_of_qwen_is_used_where_the_prompt_has_none(
    example: Example, words: Any
) -> None:
    found = reading(example, words, "qwen-prm")
    assert found.ids[0] == SYSTEM
    assert list(found.ids).index(USER) == 1 + 12  # words of the message that the model card gives


def test_every_preset_has_a_golden_reading_or_reads_tokens() -> None:
    by_tokens = {name for name, preset in PRESETS.items() if preset.layout == "tokens"}
    assert set(PRESETS) == {*GOLDEN, "qwen-prm"} | by_tokens


def shown(example: Example, tokenizer: Any, preset: str) -> tuple[str, list[str]]:
    """Return the text that a model is shown, and the tokens that it is read at."""
    found = reading(example, tokenizer, preset)
    tokens = tokenizer.convert_ids_to_tokens(list(found.ids))
    return "".join(tokens), [tokens[i] for i in found.positions]


@pytest.mark.parametrize(
    ("preset", "text", "read"),
    [
        ("token-classification", "<s>Q ab c\nd\n", ["\n", "\n"]),
        ("skywork", "<s>Q a\nb c\nd\n", ["\n", "\n"]),
        ("math-shepherd", "<s>Q a Step 1: b c ки\nStep 2: d ки", ["ки", "ки"]),
        ("openr", "<s>Q a b c \n\n\n\n\n d \n\n\n\n\n", ["\n\n\n\n\n", "\n\n\n\n\n"]),
        ("rlhflow", "[user]Q a b c[assistant]+[user]d[assistant]+", ["]", "]"]),
    ],
)
def test_the_text_is_that_of_the_format_to_the_letter(
    example: Example, characters: Any, preset: str, text: str, read: list[str]
) -> None:
    assert shown(example, characters, preset) == (text, read)


def test_openr_reads_the_one_token_that_qwen_has_for_its_tag(
    example: Example, qwen_tokenizer: Any
) -> None:
    text, read = shown(example, qwen_tokenizer, "openr")
    assert text == "QĠaĠbĠcĠĊĊĊĊĊĠdĠĊĊĊĊĊ"  # no BOS; byte-level BPE writes these for blanks
    assert read == ["ĠĊĊĊĊĊ", "ĠĊĊĊĊĊ"]
    preset = PRESETS["openr"]
    labels = [token_id(qwen_tokenizer, label) for label in (preset.good, preset.bad)]
    assert qwen_tokenizer.convert_ids_to_tokens(labels) == ["Ġ+", "Ġ-"]


def test_offsets_that_leave_out_the_leading_space_do_not_hide_a_tag(
    example: Example, qwen_tokenizer: Any
) -> None:
    from tokenizers import processors

    trimming = copy.deepcopy(qwen_tokenizer)
    trimming.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    encoded = trimming("d" + PRESETS["openr"].tag, return_offsets_mapping=True)
    assert encoded["offset_mapping"] == [(0, 1), (2, 7)]  # ' \n\n\n\n\n' is characters 1 to 6
    assert reading(example, trimming, "openr") == reading(example, qwen_tokenizer, "openr")


def test_the_chat_of_qwen_is_read_at_the_tag_to_the_letter(
    example: Example, qwen_tokenizer: Any
) -> None:
    text, read = shown(example, qwen_tokenizer, "qwen-prm")
    assert text == (
        "<|im_start|>systemĊPleaseĠreasonĠstepĠbyĠstep,ĠandĠputĠyourĠfinalĠanswerĠwithinĠ"
        "\\boxed{}.<|im_end|>Ċ<|im_start|>userĊQĠa<|im_end|>Ċ"
        "<|im_start|>assistantĊbĠc<extra_0>d<extra_0><|im_end|>Ċ"
    )
    assert read == ["<extra_0>", "<extra_0>"]


def test_steps_that_are_numbered_are_not_numbered_again(example: Example, characters: Any) -> None:
    text = "Step 1: b\nStep 2: d"
    numbered = dataclasses.replace(example, response=text, raw_response=text)
    assert shown(numbered, characters, "math-shepherd")[0] == "<s>Q a Step 1: b ки\nStep 2: d ки"


def test_a_tag_in_the_response_itself_is_not_read(example: Example, words: Any) -> None:
    text = "b ки c\nd"
    changed = dataclasses.replace(example, response=text, raw_response=text)
    found = reading(changed, words, "math-shepherd")
    assert [found.ids[i] for i in found.positions] == [KI, KI]
    assert list(found.positions) == [7, 12]


@pytest.mark.parametrize("preset", ["math-shepherd", "openr", "qwen-prm"])
def test_a_tag_that_is_not_one_token_is_refused(
    example: Example, small_tokenizer: Any, preset: str
) -> None:
    tokenizer = copy.deepcopy(small_tokenizer)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(ValueError, match="is not one token of the reward model's tokenizer"):
        reading(example, tokenizer, preset)


def test_answers_of_several_tokens_are_refused(example: Example, words: Any) -> None:
    preset = dataclasses.replace(PRESETS["rlhflow"], good="+ +")
    with pytest.raises(ValueError, match="is not one token"):
        read_steps(example, ["b", "d"], words, preset)


def test_answers_that_grow_together_with_the_template_are_refused(
    example: Example, characters: Any
) -> None:
    characters.chat_template = "{% for m in messages %}{{ ' ' + m['content'] }}{% endfor %}"
    # what is answered is now the token ' +', which is not the label '+'
    with pytest.raises(ValueError, match="does not leave the answers '\\+' and '-' as one token"):
        reading(example, characters, "rlhflow")


def test_a_question_is_the_users_message(example: Example, words: Any) -> None:
    messages = [{"role": "system", "content": "c"}, {"role": "user", "content": " Q a\n"}]
    chat = dataclasses.replace(example, prompt=messages)
    assert reading(chat, words, "skywork") == reading(example, words, "skywork")


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": [{"role": r, "content": "Q"} for r in ("user", "assistant", "user")]},
        {"prompt": [{"role": "user", "content": "Q"}], "tools": [{"name": "a"}]},
    ],
)
def test_a_conversation_or_tools_need_a_layout_with_roles(
    example: Example, words: Any, changes: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="asks one question in plain text, found messages of user"):
        reading(dataclasses.replace(example, **changes), words, "math-shepherd")


# -- steps ----------------------------------------------------------------------------------------


def with_response(example: Example, response: str, raw: Any, **changes: Any) -> Example:
    return dataclasses.replace(example, response=response, raw_response=raw, **changes)


def test_a_step_keeps_its_separator_and_the_last_one_the_closing_marks(example: Example) -> None:
    steps = steps_of(with_response(example, "b c\nd<|end|>", "b c\nd"), "\n")
    assert (steps.texts, steps.ends) == (["b c", "d"], [4, 12])


def test_a_step_that_was_cut_is_read_in_whole_and_those_behind_it_not(example: Example) -> None:
    steps = steps_of(with_response(example, " b c\nd", " b c\nd d\nd", num_untruncated=9), "\n")
    assert (steps.texts, steps.ends) == (["b c", "d d"], [5, 6])


def test_blank_lines_belong_to_the_step_in_front_of_them(example: Example) -> None:
    text = "\nb\n \n\t\nd\n "
    steps = steps_of(with_response(example, text, text), "\n")
    assert (steps.texts, steps.ends) == (["b", "d"], [7, 10])


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_blank_response_has_no_step(example: Example, text: str) -> None:
    steps = steps_of(with_response(example, text, text), "\n")
    assert (steps.texts, steps.ends) == ([], [])


def test_one_assistant_message_is_read_like_text(example: Example) -> None:
    message = [{"role": "assistant", "content": "b c\nd"}]
    assert steps_of(with_response(example, "b c\nd", message), "\n").texts == ["b c", "d"]


def test_several_messages_are_refused(example: Example) -> None:
    messages = [{"role": "assistant", "content": "b"}, {"role": "tool", "content": "c"}]
    with pytest.raises(ValueError, match="one assistant message"):
        steps_of(with_response(example, "b c", messages), "\n")


def test_a_response_that_a_template_rewrites_is_refused(example: Example) -> None:
    with pytest.raises(ValueError, match="rewrites the response"):
        steps_of(with_response(example, "B C", "b c"), "\n")
