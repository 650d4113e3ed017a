"""TensorBoard: event files in the run folder, or under $TENSORBOARD_LOGGING_DIR by run."""

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers.integrations.integration_utils import rewrite_logs

from tgdpo_core.tracking.tracker import TrackedRun, Tracker, finite, flat, markdown

_ANSWER = "rewards/accuracies"


def check(project: str | None) -> None:
    """Raise whatever the writer cannot be made for; TensorBoard needs no server."""
    from torch.utils.tensorboard import SummaryWriter  # noqa: F401 - its packages are there


class TensorBoard(Tracker):
    """Writes event files; a resumed run replaces what came after its checkpoint."""

    def __init__(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.id = str(_folder(run))
        self._writer = SummaryWriter(self.id, purge_step=run.step + 1 if run.step else None)
        self._step = run.step
        if run.config and not run.step:
            text = json.dumps(run.config, indent=1, default=str)
            self._writer.add_text("config", f"```json\n{text}\n```")
            self._write_settings(run)

    def _write_settings(self, run: TrackedRun) -> None:
        """Write what TensorBoard's HPARAMS page compares runs by."""
        from torch.utils.tensorboard.summary import hparams

        settings = {name: _setting(value) for name, value in flat(run.config)}
        summaries = hparams(settings, {f"train/{_ANSWER}": None, f"eval/{_ANSWER}": None})
        for summary in summaries:
            self._writer._get_file_writer().add_summary(summary)

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers under transformers' names."""
        self._step = step
        for name, value in rewrite_logs(finite(values)).items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def picture(self, name: str, png: bytes) -> None:
        """Log a picture."""
        from PIL import Image

        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
        self._writer.add_image(name, pixels, self._step, dataformats="HWC")

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Log a table as Markdown text."""
        self._writer.add_text(name, markdown(columns, rows), self._step)

    def close(self, *, failed: bool) -> None:
        """Write what is left."""
        self._writer.close()


def _folder(run: TrackedRun) -> Path:
    """Return where the event files go; runs never share a folder."""
    if parent := os.environ.get("TENSORBOARD_LOGGING_DIR"):
        parts = [part.replace("/", "-") for part in (run.group, run.name) if part]
        return Path(parent).expanduser().joinpath(*parts)
    return run.folder / "tensorboard"


def _setting(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else json.dumps(value, default=str)
