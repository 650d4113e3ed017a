"""The valence of every word of a text in its context, by VADER (Hutto and Gilbert, 2014).

VADER gives a word its valence from a lexicon, changed by what stands around it (negation, boosters,
capitals, "but"). The sum over words, with a bonus for exclamation marks, squashed to -1..1, is what
it calls the compound score of the text. Here the words keep their places in the text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MISSING = "the package vaderSentiment is not installed: pip install 'tgdpo[mood]'"
_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Word:
    """A word as VADER sees it.

    Attributes:
        start: its first character in the text.
        end: the character behind its last.
        valence: in its context; 0 for most words.
    """

    start: int
    end: int
    valence: float


def require_vader() -> None:
    """Raise ``ValueError`` with the ``pip install`` where VADER is not installed."""
    import importlib.util

    if importlib.util.find_spec("vaderSentiment") is None:
        raise ValueError(MISSING)


def words(text: str) -> list[Word]:
    """Return the words of a text; the sum of their valences is what VADER squashes.

    Words are what white space separates, without the punctuation around them. An emoji is read as
    its description, whose words all lie on it.

    Raises:
        ValueError: vaderSentiment is not installed.
    """
    read, origins = _without_emojis(text)
    # VADER leaves out the white space around a text, also that which comes of an emoji.
    ranges = [match.span() for match in _WORD.finditer(read)]
    values = _valences(text)
    assert len(values) == len(ranges), "VADER splits a text at white space"
    return [
        Word(*_inner(read, start, end, origins), value)
        for (start, end), value in zip(ranges, values, strict=True)
    ]


def valence_a_word(text: str) -> float:
    """Return the mean valence of the words of a text; 0 for a text without words."""
    found = _valences(text)
    return sum(found) / len(found) if found else 0.0


def compound(text: str) -> float:
    """Return VADER's compound score, -1 to 1."""
    return float(_analyzer().polarity_scores(text)["compound"])


def _valences(text: str) -> Sequence[float]:
    analyzer = _analyzer()
    analyzer.polarity_scores(text)
    return [float(value) for value in analyzer.sentiments]


@lru_cache(maxsize=1)
def _analyzer() -> Any:
    """Return VADER's analyzer, which keeps what it adds up."""
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError as error:
        raise ValueError(MISSING) from error

    class Keeping(SentimentIntensityAnalyzer):
        def score_valence(self, sentiments: list[float], text: str) -> Any:
            self.sentiments = sentiments
            return super().score_valence(sentiments, text)

    return Keeping()


def _without_emojis(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Return a text with emojis described as VADER does it, and where each character is from."""
    emojis = _analyzer().emojis
    parts: list[str] = []
    origins: list[tuple[int, int]] = []
    after_space = True
    for place, character in enumerate(text):
        written = character
        if character in emojis:
            written = emojis[character] if after_space else " " + emojis[character]
        after_space = character == " "
        parts.append(written)
        origins += [(place, place + 1)] * len(written)
    return "".join(parts), origins


def _inner(text: str, start: int, end: int, origins: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the range of a word in the original text, without the punctuation around it."""
    import string

    token = text[start:end]
    if len(token.strip(string.punctuation)) > 2:  # else VADER takes it for an emoticon
        start += len(token) - len(token.lstrip(string.punctuation))
        end -= len(token) - len(token.rstrip(string.punctuation))
    return origins[start][0], origins[end - 1][1]
