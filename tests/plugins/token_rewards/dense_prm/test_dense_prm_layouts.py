"""What each preset reads: ids and read positions written out by hand."""

import dataclasses
from typing import Any

import pytest

from tgdpo_core import Example
from tgdpo_plugins.token_rewards.dense_prm.layouts import Reading, read_steps
from tgdpo_plugins.token_rewards.dense_prm.presets import PRESETS
from tgdpo_plugins.token_rewards.dense_prm.steps import steps_of

BOS, NL, PLUS, EXTRA, KI, NL5 = 1, 4, 5, 7, 8, 9
SYSTEM, USER, ASSISTANT, Q, A, B, C, D = range(10, 18)

GOLDEN = {
    # [BOS] prompt, then step + "\n"; no separator in front of the first step
    "token-classification": ([BOS, Q, A, B, C, NL, D, NL], [5, 7]),
    # the problem ends with a line break, too
    "skywork": ([BOS, Q, A, NL, B, C, NL, D, NL], [6, 8]),
    # the tag itself is read
    "math-shepherd": ([Q, A, B, C, KI, NL, D, KI], [4, 7]),
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


def test_a_tag_in_the_text_itself_is_an_error_not_a_shift(example: Example, words: Any) -> None:
    text = "b ки c\nd"
    changed = dataclasses.replace(example, response=text, raw_response=text)
    with pytest.raises(ValueError, match="2 steps, but 3 positions of the tag"):
        reading(changed, words, "math-shepherd")


def test_answers_of_several_tokens_are_refused(example: Example, words: Any) -> None:
    preset = dataclasses.replace(PRESETS["rlhflow"], good="+ +")
    with pytest.raises(ValueError, match="are not one token each"):
        read_steps(example, ["b", "d"], words, preset)


# -- steps ----------------------------------------------------------------------------------------


def with_response(example: Example, response: str, raw: Any, **changes: Any) -> Example:
    return dataclasses.replace(example, response=response, raw_response=raw, **changes)


def test_a_step_keeps_its_separator_and_the_last_one_the_closing_marks(example: Example) -> None:
    steps = steps_of(with_response(example, "b c\nd<|end|>", "b c\nd"), "\n")
    assert (steps.texts, steps.ends) == (["b c", "d"], [4, 12])


def test_a_response_that_was_cut_has_the_steps_that_are_left(example: Example) -> None:
    steps = steps_of(with_response(example, " b c\nd", " b c\nd d\nd", num_untruncated=9), "\n")
    assert (steps.texts, steps.ends) == (["b c", "d"], [5, 6])


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
