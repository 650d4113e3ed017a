"""The results of an ablation in trackers: one run beside those of the cells, in the same group."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import yaml

from tgdpo_core.environment_secrets import without_secrets
from tgdpo_core.errors import UsageError
from tgdpo_core.experiments.collection import collect
from tgdpo_core.experiments.comparison import Results
from tgdpo_core.experiments.plots import plots
from tgdpo_core.experiments.tables import Table
from tgdpo_core.experiments.tasks import Ablation
from tgdpo_core.recipe.optional_packages import named_trackers
from tgdpo_core.tracking.open_trackers import TRACKED, open_trackers, require_usable
from tgdpo_core.tracking.tracker import TrackedRun

logger = logging.getLogger(__name__)

_RECORD = "trackers.json"
_NAME = "results"


def check_trackers(ablation: Ablation) -> None:
    """Raise ``UsageError`` where a tracker cannot be used, before any cell is run."""
    require_usable(_names(ablation), _training(ablation).get("project"))


def track_results(ablation: Ablation, results: Results) -> None:
    """Log tables and plots once; again, in the same run of the tracker, when they have changed.

    A tracker that fails here takes nothing away: the files are written.
    """
    names, record = _names(ablation), ablation.folder / _RECORD
    known = _known(record)
    digest = hashlib.sha256(results.markdown().encode()).hexdigest()
    if not names or known.get("results") == digest or not results.summaries:
        return
    ids: dict[str, str] = known.get("ids", {})
    run = TrackedRun(
        name=_NAME,
        group=ablation.runs[0].ablation,
        folder=ablation.folder,
        config=_config(ablation),
        project=_training(ablation).get("project"),
        ids=ids,
        space=_space(ablation),
    )
    try:
        trackers = open_trackers(names, run)
    except UsageError as error:
        logger.warning("The results are written, but not logged: %s", error)
        return
    ids = trackers.ids
    for table in (results.table, *results.further_tables()):
        _log_table(trackers, table)
    for figure in plots(collect(ablation.folder), results.metric, results.summaries):
        trackers.picture(figure.name, figure.png())
    trackers.close(failed=False)
    if not trackers.failed:
        content = {"results": digest, "ids": ids}
        record.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _log_table(trackers: Any, table: Table) -> None:
    name = table.title.lower().replace(" ", "-")
    trackers.table(name, table.columns, [[str(cell) for cell in row] for row in table.rows])


def _names(ablation: Ablation) -> list[str]:
    return [n for n in named_trackers(_training(ablation).get("report_to")) if n in TRACKED]


def _training(ablation: Ablation) -> dict[str, Any]:
    """Return the training settings, which name one set of trackers for all cells."""
    return dict(ablation.runs[0].recipe.training) if ablation.runs else {}


def _space(ablation: Ablation) -> dict[str, Any]:
    training = _training(ablation)
    if not training.get("trackio_space_id"):
        return {}
    return {
        "space_id": training["trackio_space_id"],
        "bucket_id": training.get("trackio_bucket_id"),
        "private": training.get("hub_private_repo"),
    }


def _config(ablation: Ablation) -> dict[str, Any]:
    grid = ablation.grid.model_dump(mode="json", exclude_unset=True)
    cleaned: dict[str, Any] = json.loads(without_secrets(json.dumps(grid, default=str)))
    return cleaned


def _known(record: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(record.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
