"""Alignment over 2,000 random texts and every kind of tokenizer."""

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest

from tgdpo_core.data.alignment import owned_ranges, project
from tgdpo_core.data.tokenization import EncodedText, encode_texts
from tgdpo_core.plugin_api.rewards import Spans


def encoded_with_eos(texts: list[str], tokenizer: Any) -> list[EncodedText]:
    """Return texts as responses are: EOS at the end, an empty token there."""
    encoded = encode_texts(texts, tokenizer, add_special_tokens=False)
    eos = [tokenizer.eos_token_id]
    return [
        EncodedText(e.text, np.append(e.ids, eos), np.vstack([e.offsets, [[len(e.text)] * 2]]))
        for e in encoded
    ]


def random_spans(generator: random.Random, num_chars: int) -> list[tuple[int, int, float]]:
    """Return up to eight spans, some empty, in no order."""
    spans = []
    for _ in range(generator.randrange(9)):
        start, end = sorted(generator.choices(range(num_chars + 1), k=2))
        spans.append((start, end, generator.gauss(0, 10)))
    return spans


def test_sums_are_conserved(any_tokenizer: Any, random_texts: list[str]) -> None:
    generator = random.Random(1)
    worst = 0.0
    for text, _, offsets in encoded_with_eos(random_texts, any_tokenizer):
        items = random_spans(generator, len(text))
        values = project(Spans(items, how="sum"), offsets, len(text))
        worst = max(worst, abs(values.sum() - sum(value for *_, value in items)))
    assert worst < 1e-9


def test_every_character_is_owned_once(any_tokenizer: Any, random_texts: list[str]) -> None:
    for text, _, offsets in encoded_with_eos(random_texts, any_tokenizer):
        starts, ends = owned_ranges(offsets, len(text))
        ranges = list(zip(starts.tolist(), ends.tolist(), strict=True))
        owners = Counter(char for start, end in ranges for char in range(start, end))
        assert set(owners) == set(range(len(text)))
        for t, (start, end) in enumerate(ranges):
            shared = [char for char in range(start, end) if owners[char] > 1]
            # Only tokens that lie on a character according to the tokenizer share it.
            assert all(offsets[t][0] <= char < offsets[t][1] for char in shared), text


def test_a_value_on_each_character_is_counted_once(
    any_tokenizer: Any, random_texts: list[str]
) -> None:
    for text, _, offsets in encoded_with_eos(random_texts[:200], any_tokenizer):
        spans = Spans([(i, i + 1, 1.0) for i in range(len(text))], how="sum")
        assert project(spans, offsets, len(text)).sum() == pytest.approx(len(text), abs=1e-9)


def test_values_are_those_of_the_definition(any_tokenizer: Any, random_texts: list[str]) -> None:
    generator = random.Random(2)
    for text, _, offsets in encoded_with_eos(random_texts[:200], any_tokenizer):
        items = random_spans(generator, len(text))
        for how in ("mean", "max", "last"):
            spans = Spans(items, how=how, fill=-0.5)  # type: ignore[arg-type]
            found = project(spans, offsets, len(text))
            np.testing.assert_allclose(found, by_definition(spans, offsets, len(text)), atol=1e-12)


def by_definition(spans: Spans, offsets: Any, num_chars: int) -> list[float]:
    """Return what ``project`` says it returns, character by character."""
    reduce = {"mean": lambda v: sum(v) / len(v), "max": max, "last": lambda v: v[-1]}[spans.how]
    result: list[float] = []
    for start, end in zip(*owned_ranges(offsets, num_chars), strict=True):
        on_token = [v for c in range(start, end) for a, b, v in spans.items if a <= c < b]
        inherited = result[-1] if result and start == end else spans.fill
        result.append(reduce(on_token) if on_token else inherited)
    return result


def test_the_text_belongs_to_eos_where_no_other_token_is_there(
    tokenizers_by_kind: dict[str, Any],
) -> None:
    ((text, ids, offsets),) = encoded_with_eos(["\n \n"], tokenizers_by_kind["wordpiece"])
    assert len(ids) == 1
    assert list(project(Spans([(0, 2, 3.0)], how="sum"), offsets, len(text))) == [3.0]


def test_an_empty_span_at_the_end_lies_on_eos() -> None:
    spans = Spans([(2, 2, 3.0)], how="sum")
    assert list(project(spans, [(0, 2), (2, 2)], 2)) == [0.0, 3.0]
    assert list(project(Spans([(0, 0, 3.0)], how="sum"), [(0, 0)], 0)) == [3.0]


def test_a_token_that_begins_inside_a_shared_character_shares_it() -> None:
    # The bytes of one emoji lie in two tokens, the second of which goes on to "!".
    spans = Spans([(0, 1, 4.0), (1, 2, 1.0)], how="sum")
    assert list(project(spans, [(0, 1), (0, 2)], 2)) == [2.0, 3.0]


@pytest.mark.parametrize("items", [[(0, 1)], [(0, 1, "x")], [(0, 1, 1.0), (1, 2)]])
def test_items_that_are_no_triples_are_refused(items: Any) -> None:
    with pytest.raises(ValueError, match="must be triples"):
        project(Spans(items), [(0, 2)], 2)


def test_a_span_that_begins_inside_a_character_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Span \(0.5, 1\) is not inside"):
        project(Spans([(0.5, 1, 1.0)]), [(0, 2)], 2)  # type: ignore[list-item]
