"""C6, K4: a signal to a real command: its exit code is the documented one, what it knew is kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.training.runs_apart import outcomes_of


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("signals")


@pytest.fixture(scope="module")
def found(model_folder: Path, rows_file: Path, scratch: Path) -> dict[str, Any]:
    """What the commands did."""
    return outcomes_of("signals_to_commands", model_folder, rows_file, scratch)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_C6_K4_a_score_that_is_stopped_ends_with_75_and_keeps_every_answer(
    name: str, found: dict[str, Any]
) -> None:
    case = found[name]
    assert case["code"] == 75, case["said"]
    assert f"Stopped by {name}. What was scored is kept" in case["said"]
    assert case["stored"] == case["answered"] == 4
    assert (case["again"], case["reused"]) == (0, case["stored"])
    assert case["reused"] + case["computed"] == 12


def test_C6_K4_a_run_that_is_stopped_while_it_scores_keeps_every_answer(
    found: dict[str, Any],
) -> None:
    case = found["early"]
    assert case["code"] == 75, case["said"]
    assert "Nothing was trained yet; what was scored is kept" in case["said"]
    assert case["stored"] == case["answered"] == 4


def test_K4_a_run_that_is_stopped_in_a_save_finishes_it_and_resumes_exactly(
    found: dict[str, Any], scratch: Path, require_equal: Callable[[Path, Path], None]
) -> None:
    assert found["whole"] == 0
    assert found["saving"]["code"] == 75, found["saving"]["said"]
    assert found["saving"]["checkpoints"] == ["checkpoint-2", "checkpoint-3"]
    assert found["resumed"] == 0
    require_equal(scratch / "saving", scratch / "whole")


def test_K4_an_evaluation_that_is_stopped_ends_with_130_and_keeps_the_models_before(
    found: dict[str, Any],
) -> None:
    case = found["evaluating"]
    assert case["code"] == 130, case["said"]
    assert "Interrupted." in case["said"]
    assert "Traceback" not in case["said"]
    assert case["kept"] == [True, False]
