"""Whether a run folder is whole, and how its run can go on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tgdpo_core.errors import CheckpointError, UsageError
from tgdpo_core.training.durability.checkpoints import Checkpoints
from tgdpo_core.training.durability.folder_lock import is_held
from tgdpo_core.training.durability.manifest import damage
from tgdpo_core.training.run_folder import RunFolder


@dataclass(frozen=True)
class RunCheck:
    """What was found in a run folder; every file of checkpoints and model was read.

    Attributes:
        folder: the run folder.
        status: how the run stands, in words.
        checkpoints: by name, with what is wrong with each.
        model: what is wrong with the model; None where there is none.
        resumes_from: name of the checkpoint that ``--resume`` takes; None: there is none.
        advice: what can be done.
    """

    folder: str
    status: str
    checkpoints: Mapping[str, Sequence[str]]
    model: Sequence[str] | None
    resumes_from: str | None
    advice: str

    @property
    def is_whole(self) -> bool:
        """Whether nothing is damaged."""
        return not self.model and not any(self.checkpoints.values())

    def as_dict(self) -> dict[str, Any]:
        """Return JSON."""
        return {**asdict(self), "whole": self.is_whole}


def check_run(path: Path) -> RunCheck:
    """Return what a run folder holds; nothing in it is changed.

    Raises:
        UsageError: it is no run folder.
    """
    folder = RunFolder(path)
    checkpoints = {p.name: damage(p) for p in Checkpoints(folder.checkpoints).all()}
    if not checkpoints and not (path / "run.json").is_file():
        raise UsageError(f"{path} is no run folder: it holds neither run.json nor checkpoints.")
    try:
        status = folder.status()
    except CheckpointError as error:
        status = f"unknown ({error})"
    model = damage(folder.model) if folder.model.is_dir() else None
    newest = next((name for name, wrong in reversed(checkpoints.items()) if not wrong), None)
    return RunCheck(
        str(path), status, checkpoints, model, newest, _advice(path, status, model, newest)
    )


def _advice(path: Path, status: str, model: Sequence[str] | None, newest: str | None) -> str:
    if is_held(path):
        return "The run is at work: look again when it is done."
    if status == "done" and model is not None and not model:
        return "The run is done and its model is whole."
    if newest:
        return f"--resume goes on from {newest}."
    if model is not None and not model:
        return "There is no whole checkpoint to go on from; the model is whole."
    return "Nothing can be resumed: start again with --overwrite, or in another folder."
