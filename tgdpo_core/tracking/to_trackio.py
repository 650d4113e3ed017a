"""Trackio: a database on this machine ($TRACKIO_DIR), or a Space of the Hub."""

import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

from transformers.integrations.integration_utils import rewrite_logs

from tgdpo_core.tracking.tracker import TrackedRun, Tracker, finite, project_of


def check(project: str | None) -> None:
    """Raise whatever trackio cannot be imported for."""
    import trackio  # noqa: F401 - its packages are there


class Trackio(Tracker):
    """A run of trackio, named by group and name so that two ablations do not meet."""

    def __init__(self, run: TrackedRun) -> None:
        import trackio

        self._trackio = trackio
        known = run.ids.get("trackio")
        self._run = trackio.init(
            project=project_of(run.project, os.environ.get("TRACKIO_PROJECT")),
            name=known or run.full_name,
            group=run.group,
            config=dict(run.config),
            resume="allow" if known else "never",
            embed=False,
            **run.space,
        )
        self.id = str(self._run.name)
        self._step = run.step

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers under transformers' names."""
        self._step = step
        self._run.log({**rewrite_logs(finite(values)), "train/global_step": step}, step=step)

    def picture(self, name: str, png: bytes) -> None:
        """Log a picture."""
        from PIL import Image

        self._run.log({name: self._trackio.Image(Image.open(io.BytesIO(png)))}, step=self._step)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Log a table."""
        import pandas as pd

        content: Any = pd.DataFrame([list(row) for row in rows], columns=list(columns))
        self._run.log({name: self._trackio.Table(dataframe=content)}, step=self._step)

    def close(self, *, failed: bool) -> None:
        """Write what is left."""
        self._run.finish()
