"""What trackers are told of a run: its recipe, its log rows, its rewards and weights."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from transformers import TrainerCallback
from transformers.integrations.integration_utils import get_reporting_integration_callbacks

from tgdpo_core.environment_secrets import without_secrets
from tgdpo_core.preparation.scored_table import ScoredTable
from tgdpo_core.reports.value_histograms import value_histograms
from tgdpo_core.tracking.open_trackers import TRACKED, Trackers, open_trackers, require_usable
from tgdpo_core.tracking.tracker import TrackedRun
from tgdpo_core.training.config import TGDPOConfig
from tgdpo_core.training.durability.agreement import by_first
from tgdpo_core.training.record import versions
from tgdpo_core.training.run_folder import RunFolder

_SAMPLE = 200  # pairs
_RECORD = "trackers.json"


def check_trackers(args: TGDPOConfig) -> None:
    """Raise ``UsageError`` where a tracker of the settings cannot be used; the first asks."""
    names = list(args.report_to or ())
    by_first(lambda: require_usable(names, args.project))


def track(trainer: Any, folder: RunFolder, known: "Known") -> "TrackedTraining":
    """Put our callback in the place of transformers' for the trackers that we serve."""
    ours = [name for name in trainer.args.report_to or () if name in TRACKED]
    for callback in get_reporting_integration_callbacks(ours):
        trainer.remove_callback(callback)
    tracked = TrackedTraining(ours, trainer.args, folder, known)
    trainer.add_callback(tracked)
    return tracked


Known = tuple[Mapping[str, Any], str | None, ScoredTable]
"""Facts of run.json; the resolved recipe, if there is one; the training pairs."""


class TrackedTraining(TrainerCallback):
    """Opens a run of every tracker, passes on log rows, and closes it.

    Only the first process speaks to trackers.

    Args:
        names: of trackers.
        args: settings of the run.
        folder: of the run; ``logs/trackers.json`` keeps what resuming needs.
        known: what is said of the run.
    """

    def __init__(
        self, names: Sequence[str], args: TGDPOConfig, folder: RunFolder, known: Known
    ) -> None:
        self._names = names if args.process_index == 0 else ()
        self._args = args
        self._folder = folder
        self._facts, self._config_yaml, self._pairs = known
        self._record = folder.log.with_name(_RECORD)
        self._trackers: Trackers | None = None

    @property
    def failures(self) -> dict[str, str]:
        """Trackers that failed during the run, and how."""
        return dict(self._trackers.failed) if self._trackers else {}

    def begin(self, *, resumed_at: int | None) -> None:
        """Open a run of every tracker; the one from before, where the run goes on.

        Args:
            resumed_at: optimizer step of the checkpoint; None for a new run.

        Raises:
            UsageError: a tracker cannot be used.
        """
        if not self._names:
            return
        ids = self._ids() if resumed_at is not None else {}
        if self._trackers:  # evaluate() opened them
            self._trackers.close(failed=False)
        self._trackers = open_trackers(self._names, self._run(ids, resumed_at or 0))
        self._record.parent.mkdir(parents=True, exist_ok=True)
        self._record.write_text(json.dumps(self._trackers.ids, indent=1) + "\n", encoding="utf-8")
        if resumed_at is None:
            self._show_rewards(self._trackers)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Pass on a row."""
        if self._names and logs:
            if self._trackers is None:  # evaluate() without train()
                self._trackers = open_trackers(self._names, self._run({}, 0))
            self._trackers.numbers(logs, state.global_step)

    def end(self, *, failed: bool) -> None:
        """Close the runs."""
        if self._trackers:
            self._trackers.close(failed=failed)

    def _run(self, ids: Mapping[str, str], step: int) -> TrackedRun:
        cell = self._facts.get("ablation", {})
        space = {
            "space_id": self._args.trackio_space_id,
            "bucket_id": self._args.trackio_bucket_id,
            "private": self._args.hub_private_repo,
        }
        return TrackedRun(
            name=cell.get("cell") or self._args.run_name or self._folder.path.name,
            group=cell.get("name"),
            folder=self._folder.log.parent,
            config=run_config(self._args, self._facts, self._config_yaml),
            project=self._args.project,
            ids=ids,
            step=step,
            space=space if self._args.trackio_space_id else {},
        )

    def _ids(self) -> dict[str, str]:
        """Return the trackers' runs of before; none where nobody wrote them down."""
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self._record.read_text(encoding="utf-8"))
            return {str(name): str(number) for name, number in found.items()}
        return {}

    def _show_rewards(self, trackers: Trackers) -> None:
        """Log what rewards and weights of the training pairs look like."""
        found = self._facts["diagnostics"]
        rows = [
            (f"reward {one['name']} (mean)", one["mean_chosen"], one["mean_rejected"])
            for one in found["rewards"]
        ]
        rows += [
            (f"weight ({key})", found["chosen"][key], found["rejected"][key])
            for key in ("mean", "std")
        ]
        texts = [(label, f"{chosen:.4g}", f"{rejected:.4g}") for label, chosen, rejected in rows]
        trackers.table("token_rewards", ("value", "chosen", "rejected"), texts)
        if self._pairs.online is None:
            sample = [self._pairs[row] for row in range(min(_SAMPLE, len(self._pairs)))]
            trackers.picture("rewards_and_weights", value_histograms(sample))


def run_config(
    args: TGDPOConfig, facts: Mapping[str, Any], config_yaml: str | None
) -> dict[str, Any]:
    """Return what trackers keep of a run: the resolved recipe, all settings, where it came from.

    Secrets are taken out. A run made in Python has no recipe; its rewards, shaping and loss stand
    in the sections of one.
    """
    settings = json.loads(args.to_json_string())
    recipe: dict[str, Any] = yaml.safe_load(config_yaml) if config_yaml else {}
    config = {
        "model": facts.get("model"),
        "reward": list(facts.get("reward_sources", ())),
        "shaping": facts.get("shaping"),
        "loss": {**facts.get("loss", {}), "beta": args.beta},
        **recipe,
        "training": {k: v for k, v in settings.items() if not k.endswith("token")},
        "fingerprints": facts.get("fingerprints"),
        "ablation": facts.get("ablation"),
        "versions": dict(versions()),
    }
    cleaned: dict[str, Any] = json.loads(without_secrets(json.dumps(config, default=str)))
    return {name: value for name, value in cleaned.items() if value is not None}
