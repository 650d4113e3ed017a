"""A data set."""

from collections.abc import Iterator
from typing import Any

from tgdpo_core import NamedDataset

_NAMES = {"train": ("Ada", "Alan", "Grace", "Emmy"), "test": ("Kurt", "Alonzo")}


class Greetings(NamedDataset):
    """Pairs that greet: by name is preferred."""

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """Yield the pairs of a split."""
        if split not in _NAMES:
            raise ValueError(f"There is no split {split!r}, only: {', '.join(_NAMES)}.")
        for name in _NAMES[split]:
            yield {"prompt": f"Greet {name}. ", "chosen": f"Hello {name}!", "rejected": "What?"}
