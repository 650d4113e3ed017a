"""Tokenizers with peculiarities, and a short way from rows to tokenized pairs."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.pairs import TokenizedPair
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs

Tokenize = Callable[..., tuple[list[TokenizedPair], DataReport]]

CHATML = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="session")
def tokenize() -> Tokenize:
    """Rows to tokenized pairs and the report on them."""

    def run(
        rows: Sequence[Any], tokenizer: Any, **limits: Any
    ) -> tuple[list[TokenizedPair], DataReport]:
        report = DataReport("rows")
        parsed = parse_rows([(f"rows:{i}", row) for i, row in enumerate(rows, 1)], report)
        return tokenize_pairs(parsed, tokenizer, LengthLimits(**limits), report), report

    return run


@pytest.fixture(scope="session")
def chat_tokenizer(small_tokenizer: Any) -> Any:
    """The small tokenizer with a chat template that ends every message by EOS."""
    tokenizer = copy.deepcopy(small_tokenizer)
    tokenizer.chat_template = CHATML
    return tokenizer


@pytest.fixture(scope="session")
def trimming_tokenizer(small_tokenizer: Any) -> Any:
    """The small tokenizer with offsets that leave out leading spaces, as RoBERTa's do."""
    from tokenizers import processors

    tokenizer = copy.deepcopy(small_tokenizer)
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer
