"""Answers: where they end, and that nothing but ``Sampling`` decides how they are drawn."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import AddedToken

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.generation.answers import Answer
from tgdpo_core.generation.door import generate
from tgdpo_core.generation.in_process import InProcess
from tgdpo_core.generation.sampling import Sampling
from tgdpo_core.generation.stopping import say_once
from tgdpo_core.models.precision import Precision

PROMPTS = ["The cat sat on", "Two plus two is four, and"]
TEXT = [PreferencePair(text, "a", "b", where="row") for text in PROMPTS]
NUM_TOKENS = 12


def drawn(
    model: Any, tokenizer: Any, pairs: Any = TEXT
) -> tuple[list[Answer], list[tuple[int, ...]]]:
    """Return a random answer to each prompt, and its ids."""
    engine = InProcess(model, tokenizer, precision=Precision())
    found = generate(engine, pairs, Sampling(max_new_tokens=NUM_TOKENS))
    ids = [each.ids for (each,) in found.drawn if each.ids is not None]
    return [item.answers[0] for item in found.answered], ids


def in_generation_config(model: Any, tokenizer: Any, stop: int) -> None:
    model.generation_config.eos_token_id = stop


def in_a_list(model: Any, tokenizer: Any, stop: int) -> None:
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, stop]


def in_config(model: Any, tokenizer: Any, stop: int) -> None:
    model.config.eos_token_id = [stop]


def in_tokenizer(model: Any, tokenizer: Any, stop: int) -> None:
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(stop)


def _in_template(tokenizer: Any, stop: int, *, special: bool) -> None:
    name = tokenizer.convert_ids_to_tokens(stop)
    tokenizer.add_tokens([AddedToken(name, special=special, normalized=False)])
    assert tokenizer.convert_tokens_to_ids(name) == stop
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}" + name + "\n{% endfor %}"


def in_template(model: Any, tokenizer: Any, stop: int) -> None:
    _in_template(tokenizer, stop, special=True)


def in_template_as_added(model: Any, tokenizer: Any, stop: int) -> None:
    _in_template(tokenizer, stop, special=False)


@pytest.mark.parametrize(
    "known",
    [
        in_generation_config,
        in_a_list,
        in_config,
        in_tokenizer,
        in_template,
        in_template_as_added,
    ],
)
def test_an_answer_ends_where_any_place_says_so(
    model: Any, tokenizer: Any, known: Callable[[Any, Any, int], None]
) -> None:
    _, free = drawn(model, tokenizer)
    row = free[0]
    place = next(
        i
        for i in range(3, NUM_TOKENS)
        if row[i] not in row[:i] and row[i] > 2 and tokenizer.decode(row[i]) not in str(PROMPTS)
    )
    known(model, tokenizer, row[place])
    answers, ids = drawn(model, tokenizer)
    assert ids[0] == row[: place + 1]
    expected = tokenizer.decode(row[:place], skip_special_tokens=True)
    assert answers[0].text == expected
    assert answers[0].finished


def test_chat_prompts_end_at_the_turns_end(model: Any, tokenizer: Any) -> None:
    pairs = [
        PreferencePair(
            [{"role": "user", "content": text}],
            [{"role": "assistant", "content": "a"}],
            [{"role": "assistant", "content": "b"}],
            where="row",
        )
        for text in PROMPTS
    ]
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}</s>{% endfor %}"
    _, free = drawn(model, tokenizer, pairs)
    row = free[0]
    place = next(i for i in range(3, NUM_TOKENS) if row[i] not in row[:i] and row[i] > 2)
    model.generation_config.eos_token_id = [row[place]]
    answers, _ = drawn(model, tokenizer, pairs)
    assert answers[0].text == tokenizer.decode(row[:place], skip_special_tokens=True)


OF_THE_MODEL = [
    {"temperature": 0.01},
    {"top_k": 1},
    {"top_p": 0.01},
    {"min_p": 0.9},
    {"typical_p": 0.01},
    {"epsilon_cutoff": 0.5},
    {"repetition_penalty": 5.0},
    {"no_repeat_ngram_size": 1},
    {"min_length": 40},
    {"min_new_tokens": 12},
    {"max_length": 3},
    {"num_beams": 3},
    {"num_return_sequences": 2},
    {"suppress_tokens": list(range(3, 200))},
    {"begin_suppress_tokens": list(range(3, 200))},
    {"bad_words_ids": [[i] for i in range(3, 200)]},
    {"forced_eos_token_id": 1},
    {"sequence_bias": [[[9], 50.0]]},
    {"exponential_decay_length_penalty": (1, 9.0)},
    {"guidance_scale": 3.0},
    {"return_dict_in_generate": True, "output_scores": True},
]


@pytest.mark.parametrize("settings", OF_THE_MODEL, ids=lambda settings: next(iter(settings)))
def test_the_models_own_settings_change_no_answer(
    model: Any, tokenizer: Any, settings: dict[str, Any]
) -> None:
    plain = drawn(model, tokenizer)
    for name, value in settings.items():
        setattr(model.generation_config, name, value)
    own = model.generation_config
    answers, ids = drawn(model, tokenizer)
    assert answers == plain[0]
    assert ids == plain[1]
    assert model.generation_config is own


def test_settings_that_are_not_used_are_said_once(
    model: Any, tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    say_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        drawn(model, tokenizer)
        assert not caplog.text
        model.generation_config.top_k = 20
        model.generation_config.repetition_penalty = 1.1
        drawn(model, tokenizer)
        drawn(model, tokenizer)
    said = "generation_config.json is not used for its answers: repetition_penalty=1.1, top_k=20."
    assert caplog.text.count(said) == 1


def test_an_adapter_is_drawn_from_in_the_same_way(model: Any, tokenizer: Any) -> None:
    peft = pytest.importorskip("peft")
    plain = drawn(model, tokenizer)
    adapter = peft.get_peft_model(model, peft.LoraConfig(r=2, task_type="CAUSAL_LM"))
    model.generation_config.repetition_penalty = 5.0
    answers, ids = drawn(adapter, tokenizer)
    assert answers == plain[0]
    assert ids == plain[1]
    assert model.generation_config.repetition_penalty == 5.0
