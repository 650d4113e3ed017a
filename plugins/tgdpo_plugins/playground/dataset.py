"""The playground's worlds, shipped and made: pairs and a base model each."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from tgdpo_core import NamedDataset
from tgdpo_plugins.playground.pairs import read_rows
from tgdpo_plugins.playground.splits import ALL_SPLITS, COMPUTED_SPLITS, SPLITS, Row

_FOLDER = Path(__file__).parent
RECORD = "world.json"
"""The file of a world made by ``build.py`` that is written when all others are."""


class Playground(NamedDataset):
    """Preference pairs of a small arithmetic task with an exact checker, and a base model."""

    seed: ClassVar[int] = 0
    folder: ClassVar[Path] = _FOLDER
    model: ClassVar[str | None] = str(folder / "model")
    error_judge: ClassVar[str | None] = "verifier"

    def rows(self, split: str) -> Iterable[Row]:
        """Return rows of ``prompt``, ``chosen``, ``rejected`` and the mistakes of both answers.

        Raises:
            ValueError: there is no such split.
        """
        if split in COMPUTED_SPLITS:
            computed = COMPUTED_SPLITS[split]
            return computed.rows_of(list(self.rows(computed.source)))
        if split not in SPLITS:
            raise ValueError(
                f"The playground has no split {split!r}. It has: {', '.join(ALL_SPLITS)}."
            )
        return read_rows(self.folder / "data" / SPLITS[split].file_name)


class World1(Playground):
    """The playground of seed 1: another demonstrator, base model and pairs."""

    seed = 1
    folder = _FOLDER / "worlds" / "1"
    model = str(folder / "model")


class World2(Playground):
    """The playground of seed 2: another demonstrator, base model and pairs."""

    seed = 2
    folder = _FOLDER / "worlds" / "2"
    model = str(folder / "model")


class World3(Playground):
    """The playground of seed 3: another demonstrator, base model and pairs."""

    seed = 3
    folder = _FOLDER / "worlds" / "3"
    model = str(folder / "model")


WORLDS: tuple[type[Playground], ...] = (Playground, World1, World2, World3)
"""A world's number is its seed; world 0 is the playground itself."""


def world_of(name: str) -> type[Playground]:
    """Return a world by its number, if it is shipped, or by the folder that it was made in.

    Raises:
        ValueError: there is no such world.
    """
    if name.isdigit():
        if int(name) < len(WORLDS):
            return WORLDS[int(name)]
        raise ValueError(
            f"World {name} is not shipped; 0 to {len(WORLDS) - 1} are. Make it with 'tgdpo "
            f"playground-world --seed {name} --output DIR' and give DIR."
        )
    path = Path(name)
    if not (path / RECORD).is_file():
        raise ValueError(
            f"{name} is neither the number of a shipped world (0 to {len(WORLDS) - 1}) nor the "
            f"folder of a finished one: there is no {path / RECORD}. Make it with 'tgdpo "
            f"playground-world --output {name}'."
        )
    options = json.loads((path / RECORD).read_text(encoding="utf-8"))["options"]
    return world_in(path, seed=options["seed"])


def world_in(path: Path, *, seed: int) -> type[Playground]:
    """Return the world of this seed that was made in a folder."""
    number = seed

    class MadeWorld(Playground):
        """A world that is not shipped."""

        seed = number
        folder = path
        model = str(path / "model")

    return MadeWorld
