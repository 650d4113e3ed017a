"""Instructions about words, letters and punctuation that must or must not be there.

Keywords are literal text, in any case; IFEval takes them for regular expressions, which is the same
for those of its data.
"""

import re
from collections.abc import Sequence

from tgdpo_plugins.judges.rules import parts
from tgdpo_plugins.judges.rules.findings import (
    FOLLOWED,
    Finding,
    broken,
    counted,
    has_or_missing,
)


def existence(text: str, *, keywords: Sequence[str]) -> Finding:
    """Every keyword is there, also inside words."""
    return has_or_missing(all(_places(word, text) for word in keywords), text)


def frequency(text: str, *, keyword: str, frequency: int, relation: str) -> Finding:
    """How often a keyword is there, also inside words."""
    return counted(_places(keyword.strip(), text), relation, frequency, text)


def forbidden_words(text: str, *, forbidden_words: Sequence[str]) -> Finding:
    """None of the words is there; as whole words."""
    spans = [
        span
        for word in forbidden_words
        for span in parts.all_of(rf"(?<!\w){re.escape(word)}(?!\w)", text, flags=re.IGNORECASE)
    ]
    return broken(*sorted(set(spans))) if spans else FOLLOWED


def letter_frequency(text: str, *, letter: str, let_frequency: int, let_relation: str) -> Finding:
    """How often a letter is there, in any case."""
    letter = letter.strip().lower()
    places = [(i, i + 1) for i, char in enumerate(text) if letter in char.lower()]
    return counted(places, let_relation, let_frequency, text)


def no_comma(text: str) -> Finding:
    """No comma."""
    return counted(parts.all_of(",", text), "at most", 0, text)


def _places(word: str, text: str) -> list[parts.Span]:
    return parts.all_of(re.escape(word), text, flags=re.IGNORECASE)
