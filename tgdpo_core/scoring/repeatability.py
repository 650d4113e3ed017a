"""Whether a reward plugin still says at the end of a pass what it said before."""

from collections.abc import Callable, Sequence

import torch

from tgdpo_core.errors import PluginError
from tgdpo_core.scoring.rounding import Rounding, measured
from tgdpo_core.store.collection import Collection

MOST_ASKED_AGAIN = 4  # pairs; their calls may cost money

Answers = Callable[[Sequence[int]], Sequence[torch.Tensor]]
"""From rows to what the plugin says of them, checked."""


def is_fine(dtype: torch.dtype) -> bool:
    """Return whether rounding changes no more than the last digits of log-probs."""
    return dtype.itemsize >= torch.float32.itemsize


def is_same(once: torch.Tensor, twice: torch.Tensor, dtype: torch.dtype) -> bool:
    """Return whether two answers to one question differ by rounding alone.

    Asked in other company, a frozen model sums in another order. In float32 this changes the last
    digits: no value may differ by more than 1 % of the largest one. Formats of two bytes round
    every product of every layer, and single values change by some percent: there the root mean
    square of the difference may be 5 % of that of the values. Noise differs by its own size.

    Args:
        once: [n] float32.
        twice: [n] float32.
        dtype: the format in which frozen models compute.
    """
    if not len(once):
        return True
    difference, least = once - twice, 1e-6
    if is_fine(dtype):
        return bool(difference.abs().max() <= 1e-2 * once.abs().max().clamp(min=least))
    rms, scale = (values.square().mean().sqrt() for values in (difference, once))
    return bool(rms <= 5e-2 * scale.clamp(min=least))


class Repeatability:
    """Keeps a few answers of a pass, from ever later batches, and asks for them again.

    Where frozen models compute in a format of two bytes, a whole batch is kept and asked again as
    it was: in other company the rounding of log-probs may be as large as a small reward.

    Args:
        answers: asks the plugin.
        require_same: raises ``PluginError`` where two answers about rows differ.
        collection: where the answers went.
        dtype: returns the format in which the plugin's models compute, once it is set up.
    """

    def __init__(
        self,
        answers: Answers,
        require_same: Callable[
            [Sequence[int], Sequence[torch.Tensor], Sequence[torch.Tensor]], None
        ],
        collection: Collection,
        dtype: Callable[[], torch.dtype],
    ) -> None:
        self._dtype = dtype
        self._answers = answers
        self._require_same = require_same
        self._collection = collection
        self._kept: dict[int, torch.Tensor] = {}
        self._num_batches = 0

    def note(self, rows: Sequence[int], values: Sequence[torch.Tensor]) -> None:
        """Keep the answer about one row of batches 1, 2, 4, 8, ..: the last few of these.

        In coarse formats: all of the last of these batches.
        """
        self._num_batches += 1
        if not rows or self._num_batches.bit_count() != 1:
            return
        if not is_fine(self._dtype()):
            self._kept = {row: of.clone() for row, of in zip(rows, values, strict=True)}
        else:
            self._kept[rows[-1]] = values[-1].clone()
            if len(self._kept) > MOST_ASKED_AGAIN:
                del self._kept[next(iter(self._kept))]

    def check(self) -> None:
        """Ask again.

        Raises:
            PluginError: an answer differs. What is stored under the plugin's key is set aside: the
                next run would read it.
        """
        rows = list(self._kept)
        if not rows:
            return
        try:
            self._require_same(rows, list(self._kept.values()), self._answers(rows))
        except PluginError as error:
            place = self._collection.set_aside_whole()
            raise PluginError(
                f"{error} It was asked again at the end of the pass; its values of this pass are "
                f"set aside in {place}."
            ) from error

    def rounding(self) -> Rounding | None:
        """Return how far values move in other company; None where there was none to be asked.

        One row of a batch is asked about alone; one that was alone, together with itself.
        """
        if not self._kept or is_fine(self._dtype()):
            return None
        row = next(iter(self._kept))
        company = [row] if len(self._kept) > 1 else [row, row]
        return measured(self._kept[row], self._answers(company)[0], self._dtype())
