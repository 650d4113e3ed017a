"""The valence of words is VADER's, word by word."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tgdpo_plugins.mood.valence import compound, valence_a_word, words

TEXTS = [
    "The food was good, but the service was very bad.",
    "It was NOT a great day! I never liked it at all.",
    "What a joy to drive: fast, quiet and beautiful :) ",
    "no-one was happy...  'sad' (really sad)",
    "😀 a smile😢tears",
    "",
    "  \n ",
]
PIECES = [
    "good",
    "bad",
    "not",
    "very",
    "but",
    "no",
    "GREAT",
    "happy",
    "(sad)",
    ":)",
    "😀",
    "x",
]


def squashed(total: float) -> float:
    """Return VADER's compound score of a sum of valences without exclamation marks."""
    return round(total / math.sqrt(total * total + 15), 4)


@pytest.mark.parametrize("text", TEXTS)
def test_words_lie_where_they_stand(text: str) -> None:
    for word in words(text):
        assert 0 <= word.start < word.end <= len(text)
        assert not text[word.start : word.end].isspace()


def test_the_context_of_a_word_counts() -> None:
    found = {"It was not good"[w.start : w.end]: w.valence for w in words("It was not good")}
    assert found["good"] < 0
    assert found["It"] == 0


@given(st.lists(st.sampled_from(PIECES), max_size=12))
@settings(max_examples=60, deadline=None)
def test_the_sum_over_words_is_what_vader_squashes(pieces: list[str]) -> None:
    text = " ".join(pieces)
    assert squashed(sum(word.valence for word in words(text))) == pytest.approx(
        compound(text), abs=1e-4
    )


def test_the_mean_is_over_all_words() -> None:
    text = "a good day"
    assert valence_a_word(text) == sum(word.valence for word in words(text)) / 3
    assert valence_a_word("") == 0.0


def test_punctuation_around_a_word_is_none_of_it() -> None:
    text = '"(good)," he said'
    assert [text[w.start : w.end] for w in words(text)] == ["good", "he", "said"]
