"""The run folder: what a run leaves behind, and whether another run is in the way.

run.json  config.yaml  README.md  checkpoints/checkpoint-N/  model/ (only when done)
logs/train.jsonl
"""

import contextlib
import datetime
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tgdpo_core.errors import CheckpointError, Preempted, TgdpoError, UsageError
from tgdpo_core.training.durability.folder_lock import described, is_held, this_process

_OURS = (
    *("run.json", "config.yaml", "README.md", "checkpoints", "model", ".model.part", "logs"),
    "failure",
)


class RunFolder:
    """Paths and record of one run.

    Args:
        path: the run folder; made when the run starts.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
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

    def read(self) -> dict[str, Any]:
        """Return run.json; empty where there is none.

        Raises:
            CheckpointError: the file is damaged.
        """
        if not self._record.exists():
            return {}
        try:
            record: dict[str, Any] = json.loads(self._record.read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self._record} cannot be read: {error}") from error
        return record

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

    def last_checkpoint(self) -> Path | None:
        """Return the newest checkpoint, or None."""
        found = {
            int(path.name.removeprefix("checkpoint-")): path
            for path in self.checkpoints.glob("checkpoint-*")
            if (path / "trainer_state.json").is_file()
        }
        return found[max(found)] if found else None

    def clear(self) -> None:
        """Remove what an earlier run left here, and nothing else."""
        kept = (path.name for path in self.path.glob("config.before-resume-*.yaml"))
        for name in [*_OURS, *kept]:
            target = self.path / name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)

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

        self.log.parent.mkdir(parents=True, exist_ok=True)
        note()
        try:
            yield note
        except KeyboardInterrupt:
            note(status="interrupted", exit_code=130, finished=_now())
            raise
        except BaseException as error:
            code = error.exit_code if isinstance(error, TgdpoError) else 1
            message = f"{type(error).__name__}: {error}"
            status = "preempted" if isinstance(error, Preempted) else "failed"
            note(status=status, exit_code=code, finished=_now(), error=message)
            raise
        note(status="done", exit_code=0, finished=_now())

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the run folder in one step."""
        self.path.mkdir(parents=True, exist_ok=True)
        staged = self.path / f".{name}.part"
        staged.write_text(text, encoding="utf-8")
        staged.replace(self.path / name)

    def write_config(self, name: str, text: str) -> None:
        """Write the settings; those of the run so far are kept where they differ."""
        path = self.path / name
        if path.exists() and path.read_text(encoding="utf-8") != text:
            stem, _, suffix = name.rpartition(".")
            number = 1 + len(list(self.path.glob(f"{stem}.before-resume-*.{suffix}")))
            path.rename(self.path / f"{stem}.before-resume-{number}.{suffix}")
        self.write_text(name, text)

    def commit_model(self) -> None:
        """Turn what was written to ``staged_model`` into ``model/``, in one step."""
        shutil.rmtree(self.model, ignore_errors=True)
        os.replace(self.staged_model, self.model)

    def _write(self, record: Mapping[str, Any]) -> None:
        self.write_text("run.json", json.dumps(record, indent=1, default=str) + "\n")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
