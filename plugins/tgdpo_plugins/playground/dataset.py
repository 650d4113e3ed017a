"""The playground's worlds as they are shipped: pairs and a base model each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from tgdpo_core import NamedDataset
from tgdpo_plugins.playground.pairs import read_rows
from tgdpo_plugins.playground.splits import NOISY_SPLITS, SPLITS, with_noise

_FOLDER = Path(__file__).parent


class Playground(NamedDataset):
    """Preference pairs of a small arithmetic task with an exact checker, and a base model."""

    folder: ClassVar[Path] = _FOLDER
    model: ClassVar[str | None] = str(folder / "model")

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """Return rows of ``prompt``, ``chosen``, ``rejected`` and the mistakes of both answers.

        Raises:
            ValueError: there is no such split.
        """
        if split in NOISY_SPLITS:
            return map(with_noise, self.rows(NOISY_SPLITS[split]))
        if split not in SPLITS:
            raise ValueError(
                f"The playground has no split {split!r}. It has: "
                f"{', '.join((*SPLITS, *NOISY_SPLITS))}."
            )
        return read_rows(self.folder / "data" / SPLITS[split].file_name)


class World1(Playground):
    """The playground of seed 1: another demonstrator, base model and pairs."""

    folder = _FOLDER / "worlds" / "1"
    model = str(folder / "model")


class World2(Playground):
    """The playground of seed 2: another demonstrator, base model and pairs."""

    folder = _FOLDER / "worlds" / "2"
    model = str(folder / "model")


class World3(Playground):
    """The playground of seed 3: another demonstrator, base model and pairs."""

    folder = _FOLDER / "worlds" / "3"
    model = str(folder / "model")


WORLDS: tuple[type[Playground], ...] = (Playground, World1, World2, World3)
"""A world's number is its seed; world 0 is the playground itself."""
