"""The token reward ``rules``: what breaks a checkable instruction, where it stands."""

from collections.abc import Sequence
from typing import Any

from tgdpo_core import Example, Spans, TokenReward, option
from tgdpo_plugins.judges.rules import Rules
from tgdpo_plugins.judges.rules.judge import broken_spans
from tgdpo_plugins.token_rewards.content_spans import in_response


class RulesReward(TokenReward):
    """Minus ``penalty`` for every place that breaks an instruction of the row (IFEval), else 0.

    A surplus word, a comma, a forbidden keyword is where it stands; what is missing (too short, no
    title) is at the end of the response. The penalty of a place is spread over its characters, so
    that the sum over tokens is minus the penalty times the places. A truncated response is judged
    as it was in full. Instructions are those of the judge ``rules``.
    """

    rules: list[dict[str, Any]] = option(
        default_factory=list,
        help='instructions for every row: [{"id": "punctuation:no_comma"}, ...]; unset: the rows\'',
    )
    ids_column: str = option("instruction_id_list", help="column of the instructions' names")
    arguments_column: str = option("kwargs", help="column of their arguments")
    penalty: float = option(1.0, help="of each place that breaks an instruction")

    def __post_init__(self) -> None:
        """Read the instructions that hold for every row."""
        self._judge = Rules(
            rules=self.rules,
            ids_column=self.ids_column,
            arguments_column=self.arguments_column,
            accuracy="strict",
            scores="all",
        )

    def validate(self) -> None:
        """Refuse instructions about languages without the package that tells them."""
        self._judge.validate()

    def required(self) -> tuple[str, ...]:
        """Return the columns, unless the instructions are options."""
        if self.rules:
            return ()
        return (f"column:{self.ids_column}", f"column:{self.arguments_column}")

    def score(self, batch: Sequence[Example]) -> list[Spans]:
        """Return the places that break instructions.

        Raises:
            ValueError: the columns of a row have another form, or a chat template rewrote it.
        """
        return [self._spans(example) for example in batch]

    def _spans(self, example: Example) -> Spans:
        instructions = self._judge.instructions_of(example.columns, example.prompt)
        _, content = example.content()
        spans = [(a, b, -self.penalty) for a, b in broken_spans(instructions, content)]
        return Spans(in_response(example, spans), how="sum")
