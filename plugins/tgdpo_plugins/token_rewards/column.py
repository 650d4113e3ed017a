"""Token rewards that the data set brings along."""

from collections.abc import Sequence
from typing import Any, Literal

from tgdpo_core import Example, Spans, TokenReward, option


class Column(TokenReward):
    """Values from data-set columns: one per response token, or [start, end, value] spans.

    A list of numbers must have one value per response token as trained, EOS included; where the
    response was truncated, the values of the cut tokens are left out. Spans count characters of the
    response and fit any tokenizer.
    """

    chosen: str = option("chosen_token_rewards", help="column of the chosen response's values")
    rejected: str = option(
        "rejected_token_rewards", help="column of the rejected response's values"
    )
    how: Literal["mean", "sum", "max", "last"] = option(
        "mean", help="how spans become token values"
    )
    fill: float = option(0.0, help="value of a token that no span touches")

    def required(self) -> tuple[str, ...]:
        """Return the two columns."""
        return (f"column:{self.chosen}", f"column:{self.rejected}")

    def score(self, batch: Sequence[Example]) -> list[Any]:
        """Return the columns' values."""
        return [self._values(example) for example in batch]

    def _values(self, example: Example) -> Any:
        name = self.chosen if example.side == "chosen" else self.rejected
        values = example.columns[name]
        if not isinstance(values, list):
            raise ValueError(f"column '{name}' must hold a list, found {type(values).__name__}")
        if values and isinstance(values[0], list | tuple):
            return self._spans(name, values, len(example.response))
        if len(values) == example.num_untruncated:
            return values[: len(example.response_ids)]
        return values

    def _spans(self, name: str, values: list[Any], num_chars: int) -> Spans:
        items = []
        for span in values:
            if len(span) != 3:
                raise ValueError(f"column '{name}': a span is [start, end, value], found {span}")
            start, end, value = int(span[0]), int(span[1]), float(span[2])
            if start < num_chars:  # the rest of a truncated response
                items.append((start, min(end, num_chars), value))
        return Spans(items, how=self.how, fill=self.fill)
