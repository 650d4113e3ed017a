"""The playground's pairs and base model, as they are shipped."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from tgdpo_core import NamedDataset

_FOLDER = Path(__file__).parent
_SPLITS = ("train", "test")


class Playground(NamedDataset):
    """Preference pairs of a small arithmetic task with an exact checker, and a base model."""

    model: ClassVar[str | None] = str(_FOLDER / "model")

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """Return rows of ``prompt``, ``chosen``, ``rejected`` and the mistakes of both answers.

        Raises:
            ValueError: the split is neither ``train`` nor ``test``.
        """
        if split not in _SPLITS:
            raise ValueError(
                f"The playground has no split {split!r}. It has: {', '.join(_SPLITS)}."
            )
        text = (_FOLDER / "data" / f"{split}.jsonl").read_text(encoding="utf-8")
        return (json.loads(line) for line in text.splitlines())
