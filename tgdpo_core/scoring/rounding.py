"""How far the values of a reward move by rounding alone, kept beside them in the store."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from tgdpo_core.store.folder import write_whole

_FILE = "rounding.json"


@dataclass(frozen=True)
class Rounding:
    """The same responses, read in other company: sums are then rounded in another order.

    Attributes:
        moved: root mean square of the change of a token's value.
        rms: that of the values themselves.
        dtype: the format in which the reward's models compute.
    """

    moved: float
    rms: float
    dtype: str

    @property
    def share(self) -> float:
        """``moved / rms``: near 0 for a reward that stands out, near 1 for one that is rounding."""
        return self.moved / self.rms if self.rms else 0.0

    def keep(self, folder: Path) -> None:
        """Write it beside the values in ``folder``."""
        write_whole(folder / _FILE, json.dumps(dataclasses.asdict(self)))


def measured(once: torch.Tensor, twice: torch.Tensor, dtype: torch.dtype) -> Rounding:
    """Return by how much values [n] moved when they were asked for in other company."""
    moved, rms = (float(v.double().square().mean().sqrt()) for v in (once - twice, once))
    return Rounding(moved, rms, str(dtype).removeprefix("torch."))


def kept_rounding(folder: Path) -> Rounding | None:
    """Return what was measured for the values in ``folder``; None where nothing was."""
    try:
        return Rounding(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # it only describes the values
        return None
