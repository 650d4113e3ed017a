"""The run folder: what a run leaves behind, and whether another run is in the way.

run.json  config.yaml (the recipe; settings.yaml where a run was made in Python)  README.md
checkpoints/checkpoint-N/  model/ (only when done)  logs/train.jsonl  plots/  report.html
"""

import contextlib
import datetime
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tgdpo_core.environment_secrets import without_secrets
from tgdpo_core.errors import CheckpointError, Preempted, UsageError
from tgdpo_core.failures import exit_code_of
from tgdpo_core.store.folder import json_object
from tgdpo_core.training.durability.folder_lock import (
    HOLDER,
    LOCK,
    described,
    is_held,
    this_process,
)

_OURS = (
    *("run.json", "config.yaml", "settings.yaml", "README.md"),
    *("checkpoints", "model", ".model.part", "logs", "failure", "plots", "report.html"),
    "evaluation",  # of a model that goes
)
_TRACKED = ("tensorboard", "trackers.json")  # in logs/
# What lies there before run.json does: output of an ablation's cell, a write that was cut off.
_BEFORE = ("output.txt", "error.txt", ".run.json.part", LOCK, HOLDER)


class RunFolder:
    """Paths and record of one run.

    Args:
        path: the run folder; made when the run starts.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.staged_model = self.path / ".model.part"
        self.log = self.path / "logs" / "train.jsonl"
        self.failure = self.path / "failure"
        self._record = self.path / "run.json"

    def require_free(self, *, resume: bool, overwrite: bool) -> None:
        """Make sure that starting here destroys nothing unasked.

        Raises:
            UsageError: the folder holds another run.
        """
        if not self._record.exists() or resume or overwrite:
            return
        raise UsageError(
            f"{self.path} holds a run already (status: {self.status()}). Continue it with "
            "--resume, replace it with --overwrite, or choose another --output-dir."
        )

    def require_own(self) -> None:
        """Make sure that nothing lies here but what a run left.

        Raises:
            UsageError: the path is a file, or the folder holds files and no run.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} (output_dir) is a file: name a folder.")
        if self._record.exists() or not self.path.exists():
            return
        others = sorted(p.name for p in self.path.iterdir() if not self._comes_before(p))
        if others:
            raise UsageError(
                f"{self.path} (output_dir) holds {', '.join(others[:4])}"
                f"{', ..' if len(others) > 4 else ''} and no run of tgdpo: a run could replace "
                "them. Choose a new or empty folder."
            )

    def _comes_before(self, path: Path) -> bool:
        """Return whether a file may lie here before a run has begun."""
        if path == self.log.parent:  # evaluate() without train()
            return path.is_dir() and {p.name for p in path.iterdir()} <= {self.log.name, *_TRACKED}
        return path.name in _BEFORE

    def read(self) -> dict[str, Any]:
        """Return run.json; empty where there is none.

        Raises:
            CheckpointError: the file is damaged.
        """
        if not self._record.exists():
            return {}
        try:
            return json_object(self._record.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self._record} cannot be read: {error}") from error

    def status(self) -> str:
        """Return how the run stands, in words; a run whose process is gone is not running."""
        record = self.read()
        status = str(record.get("status", "unknown"))
        if status == "running" and not is_held(self.path):
            return f"killed: {described(record.get('process') or {})} is gone and could not say why"
        return status

    def past(self, resumes: bool) -> dict[str, Any]:
        """Return what run.json says about earlier lives of a run that goes on."""
        with contextlib.suppress(CheckpointError):
            if resumes and "resumes" in (record := self.read()):
                return {"resumes": record["resumes"]}
        return {}

    @staticmethod
    def require_resumable(checkpoint: Path) -> None:
        """Make sure that a checkpoint holds more than weights.

        Raises:
            CheckpointError: without the optimizer's state other weights would come out.
        """
        states = ("optimizer.pt", "optimizer.bin", "optimizer_0", "optimizer", "pytorch_model_fsdp")
        is_sharded = any(checkpoint.glob("global_step*"))  # DeepSpeed
        if not is_sharded and not any((checkpoint / name).exists() for name in states):
            raise CheckpointError(
                f"{checkpoint} cannot be resumed: it was saved with training.save_only_model and "
                "lacks the optimizer's state. Use it as --model of a new run, or start again with "
                "--overwrite."
            )

    def clear(self) -> None:
        """Remove what an earlier run left here, and nothing else."""
        kept = (path.name for path in self.path.glob("*.before-resume-*.yaml"))
        for name in [*_OURS, *kept]:
            _remove(self.path / name)

    @contextlib.contextmanager
    def running(self, facts: Mapping[str, Any]) -> Iterator[Callable[..., None]]:
        """Keep run.json while a run goes on; yield a function that adds facts to it.

        The status is ``running``, then ``done``, ``preempted``, ``failed`` or ``interrupted``.
        """
        record: dict[str, Any] = {"status": "running", "exit_code": None, "started": _now()}
        record["process"] = this_process()
        record |= facts

        def note(**more: Any) -> None:
            record.update(more)
            self._write(record)

        note()
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            yield note
        except KeyboardInterrupt:
            with contextlib.suppress(CheckpointError):
                note(status="interrupted", exit_code=130, finished=_now())
            raise
        except BaseException as error:
            message = f"{type(error).__name__}: {error}"
            status = "preempted" if isinstance(error, Preempted) else "failed"
            with contextlib.suppress(CheckpointError):  # a full disk: its error is to be seen
                note(status=status, exit_code=exit_code_of(error), finished=_now(), error=message)
            raise
        note(status="done", exit_code=0, finished=_now())

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the run folder in one step, secrets of the environment taken out.

        Raises:
            CheckpointError: the folder or the file cannot be written.
        """
        staged = self.path / f".{name}.part"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            staged.write_text(without_secrets(text), encoding="utf-8")
            staged.replace(self.path / name)
        except OSError as error:
            raise CheckpointError(
                f"{self.path / name} cannot be written: {error}. What was written before is kept."
            ) from error

    def write_config(self, name: str, text: str) -> None:
        """Write the settings; those of the run so far are kept where they differ."""
        path = self.path / name
        if path.exists() and path.read_text(encoding="utf-8") != text:
            stem, _, suffix = name.rpartition(".")
            number = 1 + len(list(self.path.glob(f"{stem}.before-resume-*.{suffix}")))
            path.rename(self.path / f"{stem}.before-resume-{number}.{suffix}")
        self.write_text(name, text)

    def commit_model(self, card: str) -> None:
        """Turn what was written to ``staged_model`` into ``model/``, in one step.

        Args:
            card: the model card, kept beside the weights, too.
        """
        (self.staged_model / "README.md").write_text(without_secrets(card), encoding="utf-8")
        _remove(self.model)
        os.replace(self.staged_model, self.model)

    def _write(self, record: Mapping[str, Any]) -> None:
        self.write_text("run.json", json.dumps(record, indent=1, default=str) + "\n")


def require_free(output_dir: str, *, resume: bool, overwrite: bool) -> None:
    """Refuse an output folder that a run may not use, before any work is done.

    Only the first process looks: the others may come when it has begun to write.

    Raises:
        UsageError: it holds another run, or what no run wrote.
    """
    if os.environ.get("RANK", "0") == "0":
        folder = RunFolder(output_dir)
        folder.require_own()
        folder.require_free(resume=resume, overwrite=overwrite)


def _remove(target: Path) -> None:
    """Remove a file, a folder, or a link (never what it points to)."""
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
