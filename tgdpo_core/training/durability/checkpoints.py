"""The checkpoints of a run: written aside and renamed, found by content, never half there."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tgdpo_core.errors import CheckpointError
from tgdpo_core.training.durability.manifest import damage, fsync, seal

_NAME = re.compile(r"checkpoint-(\d+)")
_STAGED, _REPLACED, _DELETED = ".staged-", ".replaced-", ".deleted-"
_ASIDE = "set-aside"


@dataclass(frozen=True)
class Found:
    """The checkpoint that a run goes on from.

    Attributes:
        path: the newest that is whole, or None.
        skipped: newer ones with what is wrong with them, newest first.
    """

    path: Path | None
    skipped: Mapping[Path, Sequence[str]] = field(default_factory=dict)

    def reasons(self) -> str:
        """Return one line for each that was skipped."""
        return "\n".join(f"  {p.name}: {'; '.join(w[:3])}" for p, w in self.skipped.items())


def step_of(path: Path) -> int:
    """Return the step in a checkpoint's name."""
    named = _NAME.fullmatch(path.name)
    if not named:
        raise CheckpointError(f"{path} is not named like a checkpoint (checkpoint-STEP).")
    return int(named.group(1))


class Checkpoints:
    """The folder ``checkpoints/`` of a run.

    Args:
        folder: made at the first save.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def all(self) -> list[Path]:
        """Return the checkpoints by step, whole or not."""
        named = [p for p in self.folder.glob("checkpoint-*") if _NAME.fullmatch(p.name)]
        return sorted((p for p in named if p.is_dir()), key=step_of)

    def newest_whole(self) -> Found:
        """Return the newest checkpoint whose files are what was saved; every file is read."""
        skipped: dict[Path, Sequence[str]] = {}
        for path in reversed(self.all()):
            wrong = damage(path)
            if not wrong:
                return Found(path, skipped)
            skipped[path] = wrong
        return Found(None, skipped)

    def stage(self, step: int) -> Path:
        """Return an empty folder to write the checkpoint of a step to."""
        staged = self.folder / f"{_STAGED}checkpoint-{step}"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        return staged

    def commit(self, step: int, facts: Mapping[str, Any]) -> Path:
        """Turn what was staged into the checkpoint of a step, in one rename; return its path."""
        staged = self.folder / f"{_STAGED}checkpoint-{step}"
        target = self.folder / f"checkpoint-{step}"
        seal(staged, {"step": step, **facts})
        if target.exists():
            replaced = self.folder / f"{_REPLACED}{target.name}"
            shutil.rmtree(replaced, ignore_errors=True)
            target.rename(replaced)
        staged.rename(target)
        fsync(self.folder)
        shutil.rmtree(self.folder / f"{_REPLACED}{target.name}", ignore_errors=True)
        return target

    def discard(self, step: int) -> None:
        """Remove what was staged for a step."""
        shutil.rmtree(self.folder / f"{_STAGED}checkpoint-{step}", ignore_errors=True)

    def rotate(self, limit: int | None, *, newest: Path, keep: Path | None) -> None:
        """Delete the oldest checkpoints beyond a limit.

        All that were saved are finite (they are not written otherwise), so the newest is the last
        finite one.

        Args:
            limit: how many may stay; None or 0: all.
            newest: never deleted.
            keep: never deleted: the best one, if the run keeps it.
        """
        if not limit:
            return
        kept = {newest, keep} - {None}
        others = [path for path in self.all() if path not in kept]
        for path in others[: max(0, len(others) + len(kept) - max(limit, len(kept)))]:
            # Renamed first: a kill in between leaves nothing that looks like a checkpoint.
            deleted = self.folder / f"{_DELETED}{path.name}"
            shutil.rmtree(deleted, ignore_errors=True)
            path.rename(deleted)
            shutil.rmtree(deleted, ignore_errors=True)

    def set_aside_after(self, step: int) -> list[Path]:
        """Move checkpoints of later steps out of the way; return where they are now.

        The run writes these steps again; what lies there is damaged, or of another future.
        """
        moved = []
        for path in [p for p in self.all() if step_of(p) > step]:
            place = self.folder / _ASIDE
            place.mkdir(exist_ok=True)
            copies = sum(1 for p in place.iterdir() if p.name.startswith(f"{path.name}."))
            target = place / f"{path.name}.{copies + 1}"
            path.rename(target)
            moved.append(target)
        return moved

    def clean(self) -> None:
        """Mend what a killed process left: its unfinished writes and deletions."""
        if not self.folder.is_dir():
            return
        for path in list(self.folder.iterdir()):
            if path.name.startswith(_REPLACED):
                original = self.folder / path.name.removeprefix(_REPLACED)
                if not original.exists():
                    os.replace(path, original)
            if path.name.startswith((_STAGED, _REPLACED, _DELETED)):
                shutil.rmtree(path, ignore_errors=True)
