"""The token reward that knows the truth: what the checker of the task says about every token."""

from collections.abc import Sequence

from tgdpo_core import Example, TokenReward, option
from tgdpo_plugins.playground.task import END, Label, check, parse_prompt
from tgdpo_plugins.playground.tokenizer import TOKENS

# The whole vocabulary: a model may write '=' or '<s>' in an answer, an error like any other.
_PIECES = frozenset((*TOKENS, END))


class PlaygroundOracle(TokenReward):
    """Exact reward of every token of a playground answer: +1 if right, -1 if wrong, 0 if free.

    Right are copied operators and operands, right digits, and the EOS of a complete answer; wrong
    is the token of each local error; free are fillers and all that follows a broken form.
    """

    correct: float = option(1.0, help="reward of a right operator, operand, digit or EOS")
    error: float = option(-1.0, help="reward of the token that is a mistake")

    def score(self, batch: Sequence[Example]) -> list[list[float]]:
        """Return one value per response token.

        Raises:
            ValueError: a prompt or a token does not belong to the playground.
        """
        values = {Label.CORRECT: self.correct, Label.ERROR: self.error}
        return [
            [values.get(label, 0.0) for label in check(_prompt(example), _pieces(example)).labels]
            for example in batch
        ]


def _prompt(example: Example) -> str:
    """Return the prompt of an example, which must be text of the playground."""
    try:
        parse_prompt(example.prompt)
    except ValueError as error:
        raise ValueError(
            f"playground-oracle scores the data set 'playground' only. {error}"
        ) from error
    return str(example.prompt)


def _pieces(example: Example) -> list[str]:
    """Return the text of every response token; EOS has none."""
    pieces = [example.response[start:end] for start, end in example.offsets]
    for position, piece in enumerate(pieces):
        if piece not in _PIECES:
            raise ValueError(
                "playground-oracle scores answers made by the playground's tokenizer only. "
                f"Response token {position} is {piece!r} (in {example.response!r}). Allowed: one "
                f"of {list(TOKENS)}, and EOS."
            )
    return pieces
