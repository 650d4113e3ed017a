"""The judge of playground answers."""

from collections.abc import Sequence

from tgdpo_core import Generation, Judge
from tgdpo_plugins.playground.task import check_text


class Verifier(Judge):
    """Score 1 for an answer that solves its playground prompt exactly, 0 for any other."""

    def score(self, batch: Sequence[Generation]) -> list[float]:
        """Return 1.0 or 0.0 per generation.

        Raises:
            ValueError: a prompt does not belong to the playground.
        """
        return [float(check_text(item.prompt, item.response).solved) for item in batch]
