"""The real files: every row loads, and tokenizes with the boundary where it should be."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.pairs import SIDES
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.sources import load_rows
from tgdpo_core.data.templates import PLAIN_TEMPLATE
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.plugin_api.manager import PluginManager

SHARED = Path(os.environ.get("TGDPO_SHARED", Path(__file__).parents[4] / "shared")) / "data"
NUM_ROWS = {"hh_harmless.jsonl": 1600, "gsm8k_pairs.jsonl": 788, "dpo_en_sharegpt.json": 200}
PLUGINS = {"TGDPO_LOAD_PLUGINS": ""}

Loaded = Callable[[str], tuple[list[Any], DataReport]]


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    """A file's pairs and the report on them; skips where the shared data are absent."""

    def load(name: str) -> tuple[list[Any], DataReport]:
        if not (SHARED / name).exists():
            pytest.skip(f"the shared data file {name} is not beside this checkout")
        report = DataReport(name)
        rows = load_rows(str(SHARED / name), split="train", plugins=PluginManager(env=PLUGINS))
        return parse_rows(rows, report), report

    return load


@pytest.mark.parametrize("name", NUM_ROWS)
def test_every_row_is_a_pair(name: str, loaded: Loaded) -> None:
    pairs, report = loaded(name)
    assert report.num_rows == NUM_ROWS[name]
    assert len(pairs) == NUM_ROWS[name]
    assert report.problems == []


def test_hh_prompts_end_with_the_assistant_mark(loaded: Loaded) -> None:
    pairs, _ = loaded("hh_harmless.jsonl")
    assert all(pair.prompt.endswith("\n\nAssistant:") for pair in pairs)
    assert not any(pair.prompt.endswith(":\n\nAssistant:") for pair in pairs)


def test_sharegpt_rows_are_chats_that_end_with_the_assistant(loaded: Loaded) -> None:
    pairs, _ = loaded("dpo_en_sharegpt.json")
    assert all(pair.is_chat for pair in pairs)
    assert {pair.chosen[-1]["role"] for pair in pairs} == {"assistant"}
    assert {pair.prompt[-1]["role"] for pair in pairs} == {"user"}


def whole_text(pair: Any, side: Any, tokenizer: Any) -> str:
    if pair.is_chat:
        messages = [*pair.prompt, *pair.response(side)]
        template = tokenizer.chat_template or PLAIN_TEMPLATE
        return str(tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False))
    return str(pair.prompt) + str(pair.response(side))


@pytest.mark.parametrize(
    ("name", "tokenizer_fixture"),
    [
        ("hh_harmless.jsonl", "small_tokenizer"),
        ("gsm8k_pairs.jsonl", "small_tokenizer"),
        ("dpo_en_sharegpt.json", "small_tokenizer"),
        ("dpo_en_sharegpt.json", "chat_tokenizer"),
    ],
)
def test_every_pair_tokenizes_to_its_whole_text(
    name: str, tokenizer_fixture: str, loaded: Loaded, request: pytest.FixtureRequest
) -> None:
    tokenizer = request.getfixturevalue(tokenizer_fixture)
    pairs, report = loaded(name)
    tokenized = tokenize_pairs(pairs, tokenizer, LengthLimits(max_length=10**6), report)
    assert len(tokenized) == NUM_ROWS[name]
    assert report.problems == []
    assert not {kind for kind in report.counts if kind.endswith("truncated")}
    templated = tokenized[0].pair.is_chat and tokenizer.chat_template
    for side in SIDES:
        texts = [whole_text(pair.pair, side, tokenizer) for pair in tokenized]
        expected = tokenizer(texts, add_special_tokens=not templated, verbose=False)["input_ids"]
        for pair, text, ids in zip(tokenized, texts, expected, strict=True):
            response = pair.response(side)
            wanted = ids if templated else [*ids, tokenizer.eos_token_id]
            assert np.array_equal(np.concatenate([pair.prompt_ids, response.ids]), wanted)
            assert text.endswith(response.text)
            assert response.offsets[:, 1].max() == len(response.text)


def test_the_limits_cut_and_count(loaded: Loaded, small_tokenizer: Any) -> None:
    pairs, report = loaded("hh_harmless.jsonl")
    limits = LengthLimits(max_length=200, max_prompt_length=100)
    tokenized = tokenize_pairs(pairs, small_tokenizer, limits, report)
    assert max(len(p.prompt_ids) for p in tokenized) == 100
    assert all(
        len(p.prompt_ids) + len(p.response(side).ids) <= 200 for p in tokenized for side in SIDES
    )
    assert report.counts["prompt_truncated"] > 0
    assert report.counts["chosen_truncated"] > 0
    assert len(tokenized) + len(report.problems) == 1600
