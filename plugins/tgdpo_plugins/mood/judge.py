"""The judge ``mood``: how friendly the words of an answer are."""

from collections.abc import Sequence
from typing import Literal

from tgdpo_core import Generation, Judge, option
from tgdpo_plugins.mood.valence import compound, require_vader, valence_a_word


class Mood(Judge):
    """Mean valence of the words of an answer by VADER's English lexicon, about -4 to 4.

    The valence of a word is the one in its context. A sum would reward long answers, and answers
    that never end; so the score is per word, and an answer that was cut counts as neutral, 0, which
    is also what an answer without words is. Needs the extra tgdpo[mood].
    """

    per: Literal["word", "answer"] = option(
        "word", help="word: the mean over words; answer: VADER's compound score, -1 to 1"
    )
    unfinished: Literal["zero", "score"] = option(
        "zero", help="an answer that was cut at the most tokens: counts as 0, or as it stands"
    )

    def validate(self) -> None:
        """Refuse a missing vaderSentiment."""
        require_vader()

    def score(self, batch: Sequence[Generation]) -> list[float]:
        """Return one score per answer."""
        return [self._score(item) for item in batch]

    def _score(self, item: Generation) -> float:
        if item.finished is False and self.unfinished == "zero":
            return 0.0
        return valence_a_word(item.response) if self.per == "word" else compound(item.response)
