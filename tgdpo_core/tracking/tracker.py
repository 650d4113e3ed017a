"""What a tracker is told, whichever it is."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = "tgdpo"
_TRANSFORMERS_PROJECT = "huggingface"


@dataclass(frozen=True)
class TrackedRun:
    """One run of a tracker.

    Attributes:
        name: of the run; in an ablation cell and seed.
        folder: where a tracker that writes files puts them, if nothing says otherwise.
        config: the whole resolved recipe, versions and fingerprints; no secrets.
        group: name of the ablation; None for a run of its own.
        project: that the run belongs to; None is the tracker's variable, then ``tgdpo``.
        ids: by tracker, what identifies the run that goes on; empty for a new run.
        step: the run goes on after this optimizer step.
        space: Space, bucket and privacy for a trackio that sends to the Hub; empty keeps all here.
    """

    name: str
    folder: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    group: str | None = None
    project: str | None = None
    ids: Mapping[str, str] = field(default_factory=dict)
    step: int = 0
    space: Mapping[str, Any] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """Group and name, for trackers that know no groups."""
        return f"{self.group}: {self.name}" if self.group else self.name


class Tracker(ABC):
    """One open run of a tracker; made by ``open``."""

    id: str = ""
    """By which a resumed run finds this one again."""

    @abstractmethod
    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers of an optimizer step, under the names of the log rows."""

    @abstractmethod
    def picture(self, name: str, png: bytes) -> None:
        """Log a picture."""

    @abstractmethod
    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Log a table of texts."""

    @abstractmethod
    def close(self, *, failed: bool) -> None:
        """End the run; all that was logged is written by then."""


def project_of(given: str | None, variable: str | None) -> str:
    """Return the project: the tracker's own variable, then ``training.project``, then ours.

    Args:
        given: ``training.project``; transformers' default is nobody's choice.
        variable: value of the tracker's environment variable.
    """
    own = given if given != _TRANSFORMERS_PROJECT else None
    return variable or own or PROJECT


def finite(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a log row that a tracker can draw; it shows a NaN as such."""
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and not math.isinf(value)
    }


def flat(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted names and values of a nested config; empty parts are kept as such."""
    for key, value in config.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{name}.")
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            yield from flat({str(i): item for i, item in enumerate(value)}, f"{name}.")
        else:
            yield name, value


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )
