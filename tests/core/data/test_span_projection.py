"""Character spans projected to tokens."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tgdpo_core.data.alignment import owned_ranges, project
from tgdpo_core.plugin_api.rewards import Spans

# "Hi 🎉!" and EOS: the space is left out by its token, two byte tokens share the emoji.
TEXT = "Hi 🎉!"
OFFSETS = [(0, 2), (3, 4), (3, 4), (4, 5), (5, 5)]

BY_HAND: dict[str, tuple[Spans, list[float]]] = {
    "sum spreads a value over its characters": (
        Spans([(0, 4, 4.0)], how="sum"),
        [2.0, 1.5, 0.5, 0.0, 0.0],
    ),
    "sum adds values up": (
        Spans([(0, 2, 1.0), (1, 2, 1.0)], how="sum"),
        [2.0, 0.0, 0.0, 0.0, 0.0],
    ),
    "sum keeps the value of an empty span": (
        Spans([(4, 4, 3.0)], how="sum"),
        [0.0, 0.0, 0.0, 3.0, 0.0],
    ),
    "mean averages over a token's characters": (
        Spans([(0, 1, 1.0), (1, 2, 3.0)]),
        [2.0, 0.0, 0.0, 0.0, 0.0],
    ),
    "mean counts only characters that have a value": (
        Spans([(0, 1, 1.0), (4, 5, 7.0)]),
        [1.0, 0.0, 0.0, 7.0, 7.0],
    ),
    "byte tokens inside a character have its value": (
        Spans([(3, 4, 5.0)], fill=-1.0),
        [-1.0, 5.0, 5.0, -1.0, -1.0],
    ),
    "max": (Spans([(0, 5, 1.0), (1, 2, 4.0)], how="max"), [4.0, 1.0, 1.0, 1.0, 1.0]),
    "max of negative values is not the fill": (
        Spans([(0, 2, -3.0), (1, 2, -2.0)], how="max"),
        [-2.0, 0.0, 0.0, 0.0, 0.0],
    ),
    "last": (Spans([(0, 1, 1.0), (1, 2, 2.0)], how="last"), [2.0, 0.0, 0.0, 0.0, 0.0]),
    "nothing gives the fill": (Spans([], fill=0.5), [0.5] * 5),
}


@pytest.mark.parametrize(("spans", "expected"), BY_HAND.values(), ids=BY_HAND.keys())
def test_values_are_those_worked_out_by_hand(spans: Spans, expected: list[float]) -> None:
    np.testing.assert_allclose(project(spans, OFFSETS, len(TEXT)), expected)


def test_eos_inherits_the_value_of_the_last_token() -> None:
    spans = Spans([(0, 5, 2.0)])
    assert project(spans, OFFSETS, len(TEXT))[-1] == 2.0
    assert project(Spans([(0, 5, 2.0)], how="sum"), OFFSETS, len(TEXT))[-1] == 0.0


def test_an_empty_token_at_the_beginning_takes_the_fill() -> None:
    assert list(project(Spans([(0, 2, 1.0)], fill=-1.0), [(0, 0), (0, 2)], 2)) == [-1.0, 1.0]


def test_text_behind_the_last_token_belongs_to_it() -> None:
    assert list(project(Spans([(2, 4, 1.0)], how="sum"), [(0, 2), (2, 2)], 4)) == [1.0, 0.0]


@pytest.mark.parametrize("how", ["mean", "sum", "max", "last"])
@pytest.mark.parametrize("span", [(0, 6), (-1, 2), (3, 2), (6, 6)])
def test_a_span_outside_the_text_is_refused(how: Any, span: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"is not inside the response's 5 characters"):
        project(Spans([(*span, 1.0)], how=how), OFFSETS, len(TEXT))


def test_an_unknown_reduction_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'median' is not one of: sum, mean, max, last"):
        project(Spans([], how="median"), OFFSETS, len(TEXT))  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["mean", "sum", "max", "last"])
def test_a_value_that_is_not_a_number_is_not_replaced_by_the_fill(how: Any) -> None:
    values = project(Spans([(0, 2, math.nan)], how=how), OFFSETS, len(TEXT))
    assert math.isnan(values[0])


texts = st.text(
    st.one_of(st.sampled_from("ab .é你好🎉👩‍👩‍👧\n"), st.characters(codec="utf-8")),
    min_size=1,
    max_size=30,
)


@st.composite
def texts_with_spans(draw: Any) -> tuple[str, list[tuple[int, int, float]]]:
    text = draw(texts)
    places = st.integers(0, len(text))
    values = st.floats(-100, 100)
    triples = st.tuples(places, places, values)
    return text, [(min(a, b), max(a, b), v) for a, b, v in draw(st.lists(triples, max_size=8))]


@settings(max_examples=300, deadline=None)
@given(texts_with_spans())
def test_sum_conserves_the_total(
    small_tokenizer: Any, case: tuple[str, list[tuple[int, int, float]]]
) -> None:
    text, items = case
    offsets = small_tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)[
        "offset_mapping"
    ]
    values = project(Spans(items, how="sum"), [*offsets, (len(text), len(text))], len(text))
    total = sum(value for _, _, value in items)
    assert values.sum() == pytest.approx(total, abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(texts)
def test_a_constant_on_the_whole_text_is_the_constant_on_every_token(
    small_tokenizer: Any, text: str
) -> None:
    offsets = small_tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)[
        "offset_mapping"
    ]
    for how in ("mean", "max", "last"):
        spans = Spans([(0, len(text), 0.25)], how=how)  # type: ignore[arg-type]
        assert set(project(spans, offsets, len(text))) == {0.25}


@settings(max_examples=200, deadline=None)
@given(texts)
def test_every_character_is_owned_and_owners_are_in_order(
    trimming_tokenizer: Any, text: str
) -> None:
    offsets = trimming_tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    starts, ends = owned_ranges(offsets, len(text))
    assert {i for a, b in zip(starts, ends, strict=True) for i in range(a, b)} == set(
        range(len(text))
    )
    assert (starts[1:] >= starts[:-1]).all()
    assert (ends >= starts).all()
