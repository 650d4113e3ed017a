"""The judge ``lexicon``: the values of the words in an answer, from a list the user brings."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tgdpo_core import Generation, Judge, Unjudged, option
from tgdpo_plugins.judges.lexicon.word_list import WordList, read_word_list

NO_WORDS = Unjudged("an answer without words")
EMPTY = Unjudged("empty answer")


class Lexicon(Judge):
    """Sentiment, toxicity or what else a list of words says: its values summed up over an answer.

    scores=mean (default): the sum over all words of the answer, divided by their number; so length
    alone changes nothing. Nothing but the words counts: "not good" is as good as "good", unless the
    list has the phrase. Words of negative value are the error spans.
    """

    path: str = option(help="file with word<TAB>value, word,value (.csv) or a word a line")
    value: float | None = option(None, help="of words that stand alone in the file")
    scores: Literal["mean", "sum"] = option("mean", help="mean over words, or sum")
    case: bool = option(False, help="letters must have the case of the list")
    errors: Literal["negative", "positive"] = option(
        "negative", help="which words are errors of a response"
    )

    def __post_init__(self) -> None:
        """Begin with nothing counted."""
        self._list: WordList | None = None
        self._num_words = self._num_hits = 0

    def validate(self) -> None:
        """Refuse a file that cannot be read."""
        self.words()

    def words(self) -> WordList:
        """Return the list.

        Raises:
            ValueError: the file cannot be read, or a line of it.
        """
        if self._list is None:
            self._list = read_word_list(self.path, value=self.value, keeps_case=self.case)
        return self._list

    def score(self, batch: Sequence[Generation]) -> list[float | Unjudged]:
        """Return mean or sum each; ``Unjudged`` for an answer without words."""
        return [self._score(item.response) for item in batch]

    def _score(self, text: str) -> float | Unjudged:
        if not text.strip():
            return EMPTY
        hits, number = self.words().hits(text), self.words().num_words(text)
        self._num_words += number
        self._num_hits += len(hits)
        if not number and not hits:
            return NO_WORDS
        total = sum(value for _, _, value in hits)
        return total / max(1, number) if self.scores == "mean" else total

    def error_spans(self, batch: Sequence[Generation]) -> list[list[tuple[int, int]]]:
        """Return the words of negative (or positive) value."""
        sign = -1 if self.errors == "negative" else 1
        return [
            [(a, b) for a, b, value in self.words().hits(item.response) if value * sign > 0]
            for item in batch
        ]

    def record(self) -> Mapping[str, Any]:
        """Return how many words there were, and how many of them the list has."""
        return {"words": self._num_words, "words_in_list": self._num_hits}
