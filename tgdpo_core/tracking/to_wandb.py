"""Weights & Biases; with WANDB_MODE=offline nothing leaves the machine until `wandb sync`."""

import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

from transformers.integrations.integration_utils import rewrite_logs

from tgdpo_core.errors import UsageError
from tgdpo_core.tracking.tracker import TrackedRun, Tracker, finite, project_of

_STEP = "train/global_step"
_NOT_ONLINE = ("offline", "disabled", "dryrun", "shared")


def check(project: str | None) -> None:
    """Raise ``UsageError`` where wandb would ask for a key in the middle of a run."""
    import wandb

    mode = os.environ.get("WANDB_MODE", "online")
    if mode not in _NOT_ONLINE and not wandb.login(prompt=False):
        raise UsageError(
            "training.report_to=wandb: nobody is logged in. Run `wandb login` (or set "
            "WANDB_API_KEY), or keep the run here with WANDB_MODE=offline."
        )


class WeightsAndBiases(Tracker):
    """A run of wandb of our own making, whatever run a script has open beside it."""

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        self._wandb = wandb
        known = run.ids.get("wandb")
        self._run = wandb.init(
            project=project_of(run.project, os.environ.get("WANDB_PROJECT")),
            name=os.environ.get("WANDB_NAME") or run.name,
            group=os.environ.get("WANDB_RUN_GROUP") or run.group,
            config=dict(run.config),
            id=known or os.environ.get("WANDB_RUN_ID"),
            resume="allow" if known else None,
            reinit="create_new",
        )
        self.id = str(self._run.id)
        self._run.define_metric(_STEP)
        self._run.define_metric("*", step_metric=_STEP, step_sync=True)
        self._step = run.step

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers under transformers' names, over the optimizer step."""
        self._step = step
        self._run.log({**rewrite_logs(finite(values)), _STEP: step})

    def picture(self, name: str, png: bytes) -> None:
        """Log a picture."""
        from PIL import Image

        self._log(name, self._wandb.Image(Image.open(io.BytesIO(png))))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Log a table."""
        self._log(name, self._wandb.Table(columns=list(columns), data=[list(row) for row in rows]))

    def _log(self, name: str, value: Any) -> None:
        self._run.log({name: value, _STEP: self._step})

    def close(self, *, failed: bool) -> None:
        """End the run; waits until all is sent."""
        self._run.finish(exit_code=int(failed))
