"""What run.json says about a run: where it ran, what was scored, with which seeds."""

import contextlib
import functools
import importlib.metadata
import inspect
import os
import platform
import subprocess
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch

from tgdpo_core.allocator import allocator_settings
from tgdpo_core.data.pairs import data_fingerprint
from tgdpo_core.models.fingerprints import tokenizer_fingerprint
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.preparation.scored_table import ScoredTable
from tgdpo_core.reports.diagnostics import Diagnostics
from tgdpo_core.scoring.loss_choice import describe
from tgdpo_core.scoring.scorer import Scorer
from tgdpo_core.training.config import TGDPOConfig

_PACKAGES = ("tgdpo", "torch", "transformers", "accelerate", "datasets", "safetensors", "pluggy")


def scoring_facts(
    scorer: Scorer,
    train: ScoredTable,
    shaping: tuple[str, Shaping],
    diagnostics: Diagnostics,
) -> dict[str, Any]:
    """Return what the scoring pass used, computed and found, for run.json."""
    return {
        "store": scorer.totals(),
        "reward_sources": [
            {**source.describe(), "summary": _summary(source.reward)} for source in scorer.sources
        ],
        "shaping": {
            "name": shaping[0],
            "options": shaping[1].options(),
            "summary": _summary(shaping[1]),
        },
        **({"loss": describe(scorer.loss)} if scorer.loss else {}),
        "transform_states": train.transform_states(),
        "fingerprints": {
            "data": data_fingerprint(train.tokens.ids_hashes),
            "tokenizer": tokenizer_fingerprint(scorer.tokenizer),
            "reference": dict(scorer.reference.identity),
        },
        "diagnostics": diagnostics.as_dict(),
    }


def _summary(plugin: Any) -> str:
    """Return the first sentence that a plugin's class says of itself; empty where it says none."""
    kind = type(plugin)
    text = " ".join(inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].split())
    return "" if text.startswith(f"{kind.__name__}(") else text  # a dataclass without docstring


def seeds(args: TGDPOConfig) -> dict[str, Any]:
    """Return the seeds of a run."""
    return {"seeds": {"seed": args.seed, "data_seed": args.data_seed}}


def environment() -> dict[str, Any]:
    """Return versions, platform, git commit and settings of GPU memory, for run.json."""
    return {
        "versions": dict(versions()),
        "platform": platform.platform(),
        "git_commit": _git_commit(),
        "allocator": allocator_settings(os.environ),
    }


@functools.cache
def versions() -> Mapping[str, str]:
    """Return the versions of Python and of what numbers may depend on, by package."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    found["torch"] = torch.__version__  # with what it was built for
    return MappingProxyType(found)


def _git_commit() -> str | None:
    """Return the commit of the working folder, ``+`` added where tracked files are modified."""
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=5
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=5
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if changed else "")
