import pytest
from tgdpo_reward_repetition.repetition import Repetition

from tgdpo_core.testing import TokenRewardContract, make_examples


class TestRepetition(TokenRewardContract):
    plugin = Repetition(ngram=2, penalty=0.5)


def repeated(text, **options):
    """Return the words of a response that are punished, with their rewards."""
    rows = [{"prompt": "Speak.", "chosen": text, "rejected": f"{text}!"}]
    (spans,) = Repetition(**options).score(make_examples(rows)[:1])
    return [(text[start:end], value) for start, end, value in spans.items]


def test_the_word_that_completes_a_repeated_ngram_is_punished():
    assert repeated("a cat, a dog; A cat again", ngram=2) == [("cat", -1.0)]


def test_every_repetition_counts_not_only_the_first():
    assert repeated("go go go go", ngram=2, penalty=2.0) == [("go", -2.0), ("go", -2.0)]


def test_text_without_repetition_has_no_reward():
    assert repeated("one two three", ngram=1) == []


def test_a_response_shorter_than_the_ngram_has_no_reward():
    assert repeated("a a", ngram=3) == []


def test_an_ngram_of_no_words_is_refused():
    with pytest.raises(ValueError, match="ngram must be at least 1"):
        Repetition(ngram=0)
