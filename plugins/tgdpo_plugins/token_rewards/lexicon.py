"""The token reward ``lexicon``: the value of every word, on its tokens."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tgdpo_core import Example, Spans, TokenReward, option
from tgdpo_plugins.judges.lexicon import Lexicon
from tgdpo_plugins.token_rewards.content_spans import in_response


class LexiconReward(TokenReward):
    """The values that a list of words gives to the words of a response; 0 for all other tokens.

    how=sum (default): the value of a word is spread over its characters, so that the sum over
    tokens is the sum that the judge ``lexicon`` gives; how=mean: every token of a word has its
    value.
    """

    path: str = option(
        help="file with word<TAB>value, word,value (.csv) or a word a line", stored=False
    )
    value: float | None = option(None, help="of words that stand alone in the file")
    case: bool = option(False, help="letters must have the case of the list")
    how: Literal["sum", "mean"] = option("sum", help="spread the value of a word, or repeat it")

    def __post_init__(self) -> None:
        """Make the judge that finds the words."""
        self._judge = Lexicon(
            path=self.path, value=self.value, case=self.case, scores="sum", errors="negative"
        )

    def validate(self) -> None:
        """Refuse a file that cannot be read."""
        self._judge.validate()

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the words with their values: they, not the file's name, decide."""
        words = self._judge.words()
        listed = json.dumps([sorted(words.values.items()), sorted(words.beginnings.items())])
        return {"words": hashlib.sha256(listed.encode()).hexdigest()}

    def score(self, batch: Sequence[Example]) -> list[Spans]:
        """Return the words of the list with their values."""
        words = self._judge.words()
        return [
            Spans(in_response(example, words.hits(example.content()[1])), how=self.how)
            for example in batch
        ]
