"""Where an answer ends, wherever that is known: tokenizer, generation config, config, template."""

import copy
import logging
from typing import Any

import pytest
import torch
from tokenizers import AddedToken
from transformers import GenerationConfig

from tgdpo_core.errors import UsageError
from tgdpo_core.generation.stopping import say_once, stop_ids, until_stop

EOS = 1
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}<start_of_turn>"
    "{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}"
    "<end_of_turn>\n{% endfor %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>"
    "\n\n{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
)
SPACED = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }} <|end|>{% endfor %}"
LAST_ONLY = (
    "{% for m in messages %}{{ m['content'] }}{% if loop.last %}<|done|>{% endif %}{% endfor %}"
)
NESTED = "{% for m in messages %}{{ m['content'] }}<|end|>of<|end|>{% endfor %}"
WITH_EOS = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{{ eos_token }}{% endfor %}"
NO_END = "{% for m in messages %}\n\n{{ m['role'] }}: {{ m['content'] }}{% endfor %}\n"
NOT_BEHIND = (
    "{% for m in messages %}<|turn|>{{ m['content'] }}\nthat was {{ m['role'] }}{% endfor %}"
)
BROKEN = "{{ raise_exception('not today') }}"


@pytest.mark.parametrize(
    ("of_tokenizer", "of_generation_config", "of_config", "expected"),
    [
        ("</s>", None, None, (1,)),
        ("</s>", 1, 1, (1,)),
        ("</s>", 40, None, (1, 40)),
        ("</s>", [1, 40, 41], None, (1, 40, 41)),
        ("</s>", None, 42, (1, 42)),
        ("</s>", None, [42, 43], (1, 42, 43)),
        ("</s>", [40], [42], (1, 40, 42)),
        (None, 40, None, (40,)),
        (None, None, [42, 41], (41, 42)),
    ],
)
def test_every_place_that_names_an_end_counts(
    model: Any,
    tokenizer: Any,
    of_tokenizer: str | None,
    of_generation_config: Any,
    of_config: Any,
    expected: tuple[int, ...],
) -> None:
    tokenizer.eos_token = of_tokenizer
    model.generation_config.eos_token_id = of_generation_config
    model.config.eos_token_id = of_config
    assert stop_ids(model, tokenizer) == expected


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (CHATML, "<|im_end|>"),
        (GEMMA, "<end_of_turn>"),
        (LLAMA3, "<|eot_id|>"),
        (SPACED, "<|end|>"),
        (LAST_ONLY, "<|done|>"),
        (NESTED, "<|end|>of<|end|>"),
        (WITH_EOS, "</s>"),
        (NO_END, None),
        (NOT_BEHIND, None),
        (None, None),
    ],
)
@pytest.mark.parametrize("special", [True, False])
def test_the_template_shows_what_ends_a_turn(
    model: Any, tokenizer: Any, template: str | None, end: str | None, special: bool
) -> None:
    names = ["<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>", "<|eot_id|>"]
    names += ["<|start_header_id|>", "<|end|>", "<|end|>of<|end|>", "<|done|>", "<|turn|>"]
    tokenizer.add_tokens([AddedToken(name, special=special) for name in names])
    tokenizer.chat_template = template
    expected = {EOS} | ({tokenizer.convert_tokens_to_ids(end)} if end else set())
    assert set(stop_ids(model, tokenizer)) == expected


def test_a_turn_end_that_is_no_single_token_ends_nothing(model: Any, tokenizer: Any) -> None:
    tokenizer.chat_template = CHATML
    assert stop_ids(model, tokenizer) == (EOS,)


def test_the_config_of_the_text_part_counts(model: Any, tokenizer: Any) -> None:
    class Outer:
        eos_token_id = None

        def get_text_config(self) -> Any:
            text_config = copy.copy(model.config)
            text_config.eos_token_id = 44
            return text_config

    class Wrapped:
        generation_config = GenerationConfig()
        config = Outer()

    assert stop_ids(Wrapped(), tokenizer) == (EOS, 44)


def test_a_template_that_cannot_be_read_is_said(
    model: Any, tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    say_once.cache_clear()
    tokenizer.chat_template = BROKEN
    with caplog.at_level(logging.WARNING):
        assert stop_ids(model, tokenizer) == (EOS,)
    assert "ends a turn cannot be seen" in caplog.text
    assert "not today" in caplog.text


def test_an_end_that_is_an_ordinary_token_is_said_once(
    model: Any, tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    say_once.cache_clear()
    model.generation_config.eos_token_id = [EOS, 40]
    with caplog.at_level(logging.WARNING):
        stop_ids(model, tokenizer)
        stop_ids(model, tokenizer)
    assert caplog.text.count("Answers also end at 40") == 1


def test_without_any_end_there_is_an_error(model: Any, tokenizer: Any) -> None:
    tokenizer.eos_token = None
    model.generation_config.eos_token_id = model.config.eos_token_id = None
    with pytest.raises(UsageError, match="Nothing says where an answer ends"):
        stop_ids(model, tokenizer)


def test_ends_that_are_text_are_refused(model: Any, tokenizer: Any) -> None:
    model.generation_config.stop_strings = ["\nUser:"]
    with pytest.raises(UsageError, match=r"stop_strings=\['\\nUser:'\]"):
        stop_ids(model, tokenizer)


def test_an_answer_reaches_to_its_first_end_of_whatever_kind() -> None:
    answers = torch.tensor([[5, 8, 5, 9], [9, 8, 5, 5], [5, 5, 5, 5]])
    expected = [[True, True, False, False], [True, False, False, False], [True] * 4]
    assert until_stop(answers, {8, 9}).tolist() == expected
