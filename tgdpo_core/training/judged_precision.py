"""In which number formats the policies of runs are judged: in training, and afterwards the same."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from tgdpo_core.errors import UsageError
from tgdpo_core.models.precision import Precision
from tgdpo_core.training.run_folder import RunFolder


def judged_precision(models: Sequence[str]) -> Precision:
    """Return the one precision in which some models are compared.

    It is that of the runs among them, whose policies were trained in it; float32 where none is a
    run.

    Args:
        models: run folders and other models.

    Raises:
        UsageError: the runs have several.
    """
    found = {name: of for name in models if (of := _recorded(RunFolder(name).read()))}
    kinds = {(each.dtype, each.autocast) for each in found.values()}
    if len(kinds) > 1:
        listed = "; ".join(f"{name}: {said(each)}" for name, each in found.items())
        raise UsageError(
            f"The runs were trained in several number formats ({listed}), and scores are compared "
            "in one. Choose it with --dtype."
        )
    return next(iter(found.values()), Precision())


def said(precision: Precision) -> str:
    """Return a precision in words."""
    weights = str(precision.dtype).removeprefix("torch.")
    if precision.autocast is None:
        return weights
    return f"{weights} under {str(precision.autocast).removeprefix('torch.')} autocast"


def _recorded(record: Mapping[str, Any]) -> Precision | None:
    """Return the precision of a run's policy as run.json has it; None: it says nothing."""
    facts = record.get("precision") or {}
    if "policy" not in facts:
        return None
    dtype, autocast = (_dtype(facts.get(name)) for name in ("policy", "autocast"))
    return Precision(dtype or torch.float32, autocast)


def _dtype(name: str | None) -> torch.dtype | None:
    return getattr(torch, name.removeprefix("torch.")) if name else None
