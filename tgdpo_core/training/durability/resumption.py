"""Where a run goes on: the newest whole checkpoint, of the same run unless told otherwise."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tgdpo_core.errors import CheckpointError
from tgdpo_core.training.durability.checkpoints import Checkpoints, step_of
from tgdpo_core.training.durability.identity import Difference
from tgdpo_core.training.durability.manifest import damage
from tgdpo_core.training.durability.resume_guard import effects, require_same
from tgdpo_core.training.durability.running_sums import read_sums
from tgdpo_core.training.run_folder import RunFolder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resumption:
    """What a run goes on from.

    Attributes:
        checkpoint: None: the beginning.
        skipped: newer checkpoints by name, with what is wrong with them.
        differences: settings that were allowed to change.
        log_bytes: size of the log file at the save; None where the log is another run's.
    """

    checkpoint: Path | None = None
    skipped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    differences: Sequence[Difference] = ()
    log_bytes: int | None = None

    def record(self) -> dict[str, Any]:
        """Return JSON for run.json."""
        return {
            "from": self.checkpoint.name if self.checkpoint else None,
            "skipped": dict(self.skipped),
            "changed": {d.key: {"old": d.old, "new": d.new} for d in self.differences},
        }


def choose(
    checkpoints: Checkpoints,
    asked: str | bool,
    identity: Mapping[str, Any],
    allowed: Collection[str],
) -> Resumption:
    """Return what a run goes on from, and say it; later checkpoints are moved out of the way.

    Args:
        checkpoints: of the run.
        asked: a checkpoint's folder, or True for the newest whole one.
        identity: of this run.
        allowed: see ``require_same``.

    Raises:
        CheckpointError: the named one is damaged, or there are some and none is whole.
        UsageError: it belongs to another run.
    """
    checkpoints.clean()
    skipped: dict[str, list[str]] = {}
    path = None if asked is True else _named(Path(str(asked)))
    if path is None:
        found = checkpoints.newest_whole()
        path, skipped = found.path, {p.name: list(w) for p, w in found.skipped.items()}
        if path is None and found.skipped:
            raise CheckpointError(
                f"No checkpoint in {checkpoints.folder} is whole:\n{found.reasons()}\n"
                "Nothing was changed. Start again with --overwrite or in another folder."
            )
        if path is None:
            logger.warning("%s holds no checkpoint: from the beginning.", checkpoints.folder)
            return Resumption()
        if skipped:
            logger.warning("Damaged, not used:\n%s", found.reasons())
    RunFolder.require_resumable(path)
    differences = require_same(path, identity, allowed)
    if differences:
        logger.warning("Changed, as allowed:\n%s", effects(differences))
    for moved in checkpoints.set_aside_after(step_of(path)):
        logger.warning("Set aside, the run writes this step again: %s", moved)
    logger.info("Going on from %s.", path)
    is_own = path.parent.resolve() == checkpoints.folder.resolve()
    sums = read_sums(path, 0)
    size = sums[0].log_bytes if sums and is_own else None
    return Resumption(path, skipped, differences, size)


def _named(path: Path) -> Path:
    """Return the checkpoint that was asked for by its folder, if it is whole."""
    step_of(path)
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such checkpoint.")
    if wrong := damage(path):
        raise CheckpointError(f"{path} is not whole: {'; '.join(wrong[:3])}.")
    return path
