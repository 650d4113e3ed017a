"""The examples of a whole table, one at a time."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from tgdpo_core.data.pairs import SIDES
from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.plugin_api.rewards import Example


class LazyExamples(Sequence[Example]):
    """Every response of a table as plugins see it: chosen and rejected of row 0, then of row 1, ...

    Each is made when it is asked for: a training set's examples take far more memory than its ids.

    Args:
        table: the pairs.
        make: returns the examples of a pair, given its row; None: without columns or shared values.
    """

    def __init__(
        self, table: TokenTable, make: Callable[[int], Sequence[Example]] | None = None
    ) -> None:
        self._length = 2 * len(table)
        self._of_row = lru_cache(maxsize=1)(
            make or (lambda row: [table[row].example(side) for side in SIDES])
        )

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        """Return one example, or a list for a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._length))]
        if not -self._length <= index < self._length:
            raise IndexError(index)
        row, side = divmod(index % self._length, 2)
        return self._of_row(row)[side]
