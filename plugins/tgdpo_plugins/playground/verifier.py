"""The judge of playground answers."""

from collections.abc import Iterator, Sequence

from tgdpo_core import Generation, Judge
from tgdpo_plugins.playground.task import END, Label, check_text, split_pieces


class Verifier(Judge):
    """Score 1 for an answer that solves its playground prompt exactly, 0 for any other."""

    def score(self, batch: Sequence[Generation]) -> list[float]:
        """Return 1.0 or 0.0 per generation.

        Raises:
            ValueError: a prompt does not belong to the playground.
        """
        return [float(check_text(item.prompt, item.response).solved) for item in batch]

    def error_spans(self, batch: Sequence[Generation]) -> list[list[tuple[int, int]]]:
        """Return where the checker finds each local error; an answer that was cut has no end.

        Raises:
            ValueError: a prompt does not belong to the playground.
        """
        return [list(_error_spans(item)) for item in batch]


def _error_spans(item: Generation) -> Iterator[tuple[int, int]]:
    start = 0
    labels = check_text(item.prompt, item.response).labels
    for piece, label in zip((*split_pieces(item.response), END), labels, strict=True):
        end = start + len(piece)
        is_open = piece == END and item.finished is False
        if label is Label.ERROR and not is_open:
            yield start, end
        start = end
