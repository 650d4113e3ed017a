"""The precision in which models are compared: that of the runs among them."""

import json
from pathlib import Path

import pytest
import torch

from tgdpo_core.errors import UsageError
from tgdpo_core.models.precision import Precision
from tgdpo_core.training.judged_precision import judged_precision


def run_of(folder: Path, policy: str, autocast: str | None) -> str:
    folder.mkdir()
    facts = {"precision": {"dtype": "torch.bfloat16", "autocast": autocast, "policy": policy}}
    (folder / "run.json").write_text(json.dumps(facts))
    return str(folder)


def test_without_runs_it_is_float32(tmp_path: Path) -> None:
    assert judged_precision([str(tmp_path), "some/model"]) == Precision()


def test_it_is_the_policys_of_the_runs(tmp_path: Path) -> None:
    runs = [run_of(tmp_path / n, "torch.float32", "torch.bfloat16") for n in "ab"]
    found = judged_precision(["base", *runs])
    assert (found.dtype, found.autocast) == (torch.float32, torch.bfloat16)


def test_runs_of_two_precisions_are_not_compared_unasked(tmp_path: Path) -> None:
    runs = [
        run_of(tmp_path / "a", "torch.float32", "torch.bfloat16"),
        run_of(tmp_path / "b", "torch.bfloat16", None),
    ]
    with pytest.raises(UsageError, match=r"a: float32 under bfloat16 autocast; .*b: bfloat16"):
        judged_precision(runs)
