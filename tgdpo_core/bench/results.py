"""What a bench found, as JSON that a later bench can be compared with."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tgdpo_core.bench.measures import MEASURES, Measures
from tgdpo_core.bench.request import BenchRequest
from tgdpo_core.bench.scoring import TokenizedRows
from tgdpo_core.data.report import DataReport
from tgdpo_core.errors import UsageError
from tgdpo_core.evaluation.intervals import Estimate
from tgdpo_core.marks.responses import marks_fingerprint
from tgdpo_core.marks.tokens import ERROR, RIGHT, UNKNOWN, MarkedTokens
from tgdpo_core.models.fingerprints import tokenizer_fingerprint
from tgdpo_core.scoring.rounding import Rounding
from tgdpo_core.store.folder import canonical_hash

FORMAT = 1


@dataclass(frozen=True)
class Judged:
    """One reward with its measures.

    Attributes:
        label: its name in tables.
        key: hash of everything that decides its values but the rows; the name of position and
            random.
        described: plugin, origin, options, transforms; empty for position and random.
        measures: of the reward itself.
        controls: of the reward under each control transform.
        gains: step AUC minus that of each control, and of position.
        rounding: how far rounding moves the stored values; None where not measured.
    """

    label: str
    key: str
    described: Mapping[str, Any]
    measures: Measures
    controls: Mapping[str, Measures] = field(default_factory=dict)
    gains: Mapping[str, Estimate] = field(default_factory=dict)
    rounding: Rounding | None = None

    @classmethod
    def floor(cls, name: str, measures: Measures) -> "Judged":
        """Return a control that no reward goes into."""
        return cls(name, name, {}, measures)

    @property
    def is_dynamic(self) -> bool:
        """Whether it follows the policy in training; here it was scored at the reference."""
        return bool(self.described.get("dynamic"))

    def as_dict(self) -> dict[str, Any]:
        """Return JSON."""
        return {
            "label": self.label,
            "key": self.key,
            "reward": dict(self.described),
            **self.measures.as_dict(),
            "controls": {name: found.as_dict() for name, found in self.controls.items()},
            "gains": {name: gain.as_dict() for name, gain in self.gains.items()},
            "rounding": self.rounding and dataclasses.asdict(self.rounding),
        }


@dataclass(frozen=True)
class BenchResults:
    """Facts about the rows, and every reward with its measures; position and random are last."""

    data: Mapping[str, Any]
    rewards: Sequence[Judged]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON."""
        return {
            "format": FORMAT,
            "data": dict(self.data),
            "measures": dict(MEASURES),
            "rewards": [reward.as_dict() for reward in self.rewards],
        }


def data_facts(
    request: BenchRequest,
    report: DataReport,
    marks: MarkedTokens,
    tokenized: TokenizedRows,
    tokenizer: Any,
) -> dict[str, Any]:
    """Return what the numbers were measured on, with a key that names it by its content."""
    marked = marks.first_error[~marks.is_assumed]
    settings = {
        "max_length": request.max_length,
        "step_value": request.step_value,
        "num_folds": request.num_folds,
        "num_resamples": request.num_resamples,
        "seed": request.seed,
    }
    content = {
        "marks": marks_fingerprint(tokenized.rows),
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "max_length": request.max_length,
    }
    return {
        "path": request.source.path,
        "split": request.source.split,
        "key": canonical_hash(content),
        "model": request.model,
        "reference": request.reference,
        "dtype": request.dtype,
        "beta": request.beta,
        "rows": report.num_rows,
        "used_rows": len(tokenized.rows),
        "limit": request.source.limit,
        "left_out": len(report.problems),
        "problems": report.problems[:10],
        "counts": {name: count for name, count in sorted((report.counts + marks.counts).items())},
        "problems_of_data": marks.num_problems,
        "responses": len(marks.lengths),
        "assumed_right": int(marks.is_assumed.sum()),
        "with_error": int((marked >= 0).sum()),
        "without_error": int((marked == -1).sum()),
        "first_error_cut": int((marked == UNKNOWN).sum()),
        "tokens": int(marks.lengths.sum()),
        "error_tokens": int((marks.token_labels == ERROR).sum()),
        "right_tokens": int(
            ((marks.token_labels == RIGHT) & ~marks.is_assumed[marks.token_responses]).sum()
        ),
        "steps": len(marks.step_labels),
        "has_steps": any(r.steps for row in tokenized.rows for r in row.responses),
        "mean_step_tokens": float(np.mean(np.bincount(marks.token_steps[marks.token_steps >= 0]))),
        "settings": settings,
    }


def read_results(path: Path) -> dict[str, Any]:
    """Return the content of a results.json.

    Raises:
        UsageError: it cannot be read, or is none of this format.
    """
    file = path / "results.json" if path.is_dir() else path
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UsageError(f"{file}: no results of a bench can be read: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or "rewards" not in content:
        raise UsageError(f"{file} is not the results.json of `tgdpo bench reward`.")
    return content
