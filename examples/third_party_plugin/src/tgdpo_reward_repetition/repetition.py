"""A token reward against saying the same again."""

import re

from tgdpo_core import Spans, TokenReward, option

_WORD = re.compile(r"\w+")


class Repetition(TokenReward):
    """Minus ``penalty`` on every word that completes an n-gram said before in the response.

    Words are runs of letters and digits, in lower case. Text between words has reward 0, and so has
    the first occurrence of everything.
    """

    ngram: int = option(3, help="how many words in a row make a repetition")
    penalty: float = option(1.0, help="what the last word of a repeated n-gram costs")

    def __post_init__(self):
        """Refuse an n-gram of no words."""
        if self.ngram < 1:
            raise ValueError(f"ngram must be at least 1, got {self.ngram}")

    def score(self, batch):
        """Return the character spans of repeating words."""
        return [Spans(self._repeated_words(example.response)) for example in batch]

    def _repeated_words(self, text):
        words = list(_WORD.finditer(text))
        said = set()
        items = []
        for end in range(self.ngram, len(words) + 1):
            ngram = tuple(word.group().lower() for word in words[end - self.ngram : end])
            if ngram in said:
                items.append((*words[end - 1].span(), -self.penalty))
            said.add(ngram)
        return items
