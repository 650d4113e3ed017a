"""The token reward ``mood-oracle``: what every token adds to the score that the judge gives."""

from collections.abc import Sequence

from tgdpo_core import Example, Spans, TokenReward
from tgdpo_plugins.mood.valence import require_vader, words


class MoodOracle(TokenReward):
    """VADER's valence of every word in its context, spread over the word's tokens; 0 elsewhere.

    Exact: the rewards of a response sum to what the judge ``mood`` divides by the number of words,
    and to what VADER squashes to its compound score (but for the bonus of exclamation marks). Few
    tokens have any. Needs the extra tgdpo[mood].
    """

    def validate(self) -> None:
        """Refuse a missing vaderSentiment."""
        require_vader()

    def score(self, batch: Sequence[Example]) -> list[Spans]:
        """Return the valences as spans that keep their sum."""
        return [self._spans(example) for example in batch]

    def _spans(self, example: Example) -> Spans:
        text = _answer(example)
        items = [(w.start, w.end, w.valence) for w in words(text) if w.valence]
        return Spans(items, how="sum")


def _answer(example: Example) -> str:
    """Return the response without the marks with which a chat template closes it."""
    raw = example.raw_response
    text = raw if isinstance(raw, str) else str(raw[-1]["content"])
    shared = next(
        (i for i, (a, b) in enumerate(zip(text, example.response, strict=False)) if a != b),
        min(len(text), len(example.response)),
    )
    return example.response[:shared]
