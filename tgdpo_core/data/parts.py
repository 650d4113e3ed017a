"""What a row says, by its parts."""

from typing import NamedTuple

from tgdpo_core.data.pairs import Text


class Parts(NamedTuple):
    """What a row says, and what was done to it (names, for counting)."""

    prompt: Text
    chosen: Text
    rejected: Text
    notes: tuple[str, ...] = ()
