"""The shipped files: pairs, tokenizer, base model and its known defects."""

import json
from pathlib import Path
from typing import Any

import pytest

from tgdpo_plugins.playground.dataset import Playground
from tgdpo_plugins.playground.task import FILLERS, apply_operator, check_text, split_pieces

MODEL = Path(str(Playground.model))
NUM_ROWS = {"train": 400, "test": 300}

Rows = dict[str, list[dict[str, Any]]]
Texts = list[tuple[str, str]]


@pytest.fixture(scope="module")
def rows() -> Rows:
    return {split: list(Playground().rows(split)) for split in NUM_ROWS}


@pytest.fixture(scope="module")
def texts(rows: Rows) -> Texts:
    """Prompt and response of every shipped row, both sides."""
    everything = [row for split in rows.values() for row in split]
    return [(row["prompt"], row[side]) for row in everything for side in ("chosen", "rejected")]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MODEL)


@pytest.mark.parametrize("split", NUM_ROWS)
def test_the_checker_finds_the_shipped_numbers_of_errors(rows: Rows, split: str) -> None:
    assert len(rows[split]) == NUM_ROWS[split]
    for row in rows[split]:
        assert check_text(row["prompt"], row["chosen"]).num_errors == row["chosen_errors"]
        assert check_text(row["prompt"], row["rejected"]).num_errors == row["rejected_errors"]
        assert row["chosen_errors"] < row["rejected_errors"]


def test_no_prompt_is_shipped_twice(rows: Rows) -> None:
    prompts = [row["prompt"] for split in rows.values() for row in split]
    assert len(set(prompts)) == len(prompts)


def test_no_response_is_empty(texts: Texts) -> None:
    assert all(response for _, response in texts)


def test_chosen_answers_are_better_but_not_all_right(rows: Rows) -> None:
    num_right = sum(row["chosen_errors"] == 0 for row in rows["train"])
    assert 0.5 < num_right / NUM_ROWS["train"] < 0.7


def test_text_survives_the_tokenizer(texts: Texts, tokenizer: Any) -> None:
    ids = tokenizer([prompt + response for prompt, response in texts])["input_ids"]
    decoded = tokenizer.batch_decode(ids, skip_special_tokens=True)
    assert decoded == [prompt + response for prompt, response in texts]


def test_the_ids_of_a_prompt_are_a_prefix(texts: Texts, tokenizer: Any) -> None:
    prompt_ids = tokenizer([prompt for prompt, _ in texts])["input_ids"]
    whole_ids = tokenizer([prompt + response for prompt, response in texts])["input_ids"]
    for prefix, whole in zip(prompt_ids, whole_ids, strict=True):
        assert whole[: len(prefix)] == prefix


def test_only_bos_is_added(tokenizer: Any) -> None:
    bare = tokenizer("3+4=", add_special_tokens=False)["input_ids"]
    assert tokenizer("3+4=")["input_ids"] == [tokenizer.bos_token_id, *bare]
    assert tokenizer.bos_token_id not in bare
    special = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert len(set(special)) == 3


def test_offsets_cut_the_text_into_the_pieces_of_the_task(texts: Texts, tokenizer: Any) -> None:
    for _, response in texts[:100]:
        encoded = tokenizer(response, add_special_tokens=False, return_offsets_mapping=True)
        pieces = [response[start:end] for start, end in encoded["offset_mapping"]]
        assert pieces == split_pieces(response)


def test_every_filler_is_one_token(tokenizer: Any) -> None:
    assert len(tokenizer) == 25
    assert [len(tokenizer(f, add_special_tokens=False)["input_ids"]) for f in FILLERS] == [1] * 8


def test_text_outside_the_task_is_refused(tokenizer: Any) -> None:
    with pytest.raises(Exception, match="Missing \\[UNK\\] token"):
        tokenizer("What is 3+4?")


def test_the_weights_are_small_and_safe() -> None:
    weights = [path.name for path in MODEL.iterdir() if path.suffix not in (".json", ".jinja")]
    assert weights == ["model.safetensors"]
    assert (MODEL / "model.safetensors").stat().st_size < 2_000_000


def test_the_known_defects_name_a_wrong_digit_for_every_entry() -> None:
    defects = json.loads((MODEL / "defects.json").read_text(encoding="utf-8"))
    assert len(defects) == 300
    for (left, operator, right), habit in defects.items():
        assert habit["favourite"] != apply_operator(operator, left, right)
    rates = [habit["error_rate"] for habit in defects.values()]
    assert rates.count(0.02) == 180
    assert all(0.15 <= rate <= 0.7 for rate in rates if rate != 0.02)


def test_the_base_model_is_mediocre(rows: Rows, tokenizer: Any) -> None:
    from transformers import AutoModelForCausalLM

    from tgdpo_plugins.playground.sampling import respond, solved_rate

    model = AutoModelForCausalLM.from_pretrained(MODEL)
    prompts = [row["prompt"] for row in rows["test"][:100]]
    greedy = solved_rate(prompts, respond(model, tokenizer, prompts=prompts, seed=None))
    sampled = solved_rate(prompts, respond(model, tokenizer, prompts=prompts, seed=0))
    assert 0.25 < greedy < 0.7
    assert 0.15 < sampled < 0.55


def test_the_model_folder_says_how_a_response_ends(tokenizer: Any) -> None:
    from transformers import GenerationConfig

    config = GenerationConfig.from_pretrained(MODEL)
    assert config.bos_token_id == tokenizer.bos_token_id
    assert config.eos_token_id == tokenizer.eos_token_id
    assert config.pad_token_id == tokenizer.pad_token_id
