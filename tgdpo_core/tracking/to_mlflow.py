"""MLflow: a server, or files and a database of this machine ($MLFLOW_TRACKING_URI)."""

import io
import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tgdpo_core.tracking.tracker import TrackedRun, Tracker, finite, flat, project_of

_NOT_ALLOWED = re.compile(r"[^0-9A-Za-z_\-. :/]")
_LONGEST = 500  # characters of a parameter, in every version; the artifact has all of it
_AT_ONCE = 100


def check(project: str | None) -> None:
    """Raise whatever MLflow says of a URI, or of a server that does not answer within seconds."""
    short = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    ours = {name: value for name, value in short.items() if name not in os.environ}
    os.environ.update(ours)  # MLflow has no other way to say for how long one waits
    try:
        _client().search_experiments(max_results=1)
    finally:
        for name in ours:
            del os.environ[name]


class MLflow(Tracker):
    """A run of MLflow; none of its global state is used."""

    def __init__(self, run: TrackedRun) -> None:
        self._client = _client()
        known = run.ids.get("mlflow")
        if known:
            self.id = str(self._client.get_run(known).info.run_id)
            self._client.update_run(known, status="RUNNING")
        else:
            name = project_of(run.project, os.environ.get("MLFLOW_EXPERIMENT_NAME"))
            self.id = self._new(run, name)
        self._step = run.step

    def _new(self, run: TrackedRun, experiment: str) -> str:
        tags = {"tgdpo.group": run.group} if run.group else {}
        made = self._client.create_run(
            _experiment(self._client, experiment), run_name=run.full_name, tags=tags
        )
        number = str(made.info.run_id)
        self._client.log_dict(number, dict(run.config), "config.json")
        for name, value in flat(run.config):
            text = str(value)
            if len(text) <= _LONGEST:
                self._client.log_param(number, _NOT_ALLOWED.sub("_", name), text)
        return number

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers under the names of the log rows."""
        from mlflow.entities import Metric

        self._step = step
        now = int(time.time() * 1000)
        metrics = [
            Metric(_NOT_ALLOWED.sub("_", name), value, now, step)
            for name, value in finite(values).items()
        ]
        for start in range(0, len(metrics), _AT_ONCE):
            self._client.log_batch(self.id, metrics=metrics[start : start + _AT_ONCE])

    def picture(self, name: str, png: bytes) -> None:
        """Log a picture as an artifact."""
        from PIL import Image

        self._client.log_image(self.id, Image.open(io.BytesIO(png)), f"{name}.png")

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Log a table as an artifact that MLflow's pages show."""
        by_column = {c: [row[i] for row in rows] for i, c in enumerate(columns)}
        self._client.log_table(self.id, by_column, f"{name}.json")

    def close(self, *, failed: bool) -> None:
        """Say how the run ended."""
        self._client.set_terminated(self.id, "FAILED" if failed else "FINISHED")


def _client() -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or None)


def _experiment(client: Any, name: str) -> str:
    """Return the id of an experiment, made if it is not there."""
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))
